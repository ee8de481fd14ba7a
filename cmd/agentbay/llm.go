package main

import (
	"net/url"
	"os"

	"github.com/spf13/pflag"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/operator"
	"github.com/agentbay/agentbay/internal/store"
)

// llmOptions are the flags of a server about the model that works on pages.
type llmOptions struct {
	url, model      string
	atOnce          int
	maxTokens       int64
	maxTokensPerKey int64 // a day
}

func (o *llmOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.url, "llm-url", "", "base URL of an OpenAI-compatible API whose model works on pages of browsers (act, observe, extract, tasks), such as https://api.openai.com/v1; its key is "+llmKey+" in the environment")
	f.StringVar(&o.model, "llm-model", "", "name of the model there")
	f.IntVar(&o.atOnce, "llm-at-once", 8, "answers of the model that are asked for at once")
	f.Int64Var(&o.maxTokensPerKey, "llm-max-tokens-per-key", 0, "tokens that a key without a limit of its own may use a day, both ways; 0 means no limit")
	f.Int64Var(&o.maxTokens, "llm-max-tokens", operator.DefaultMaxTokens, "tokens that one task may use, both ways")
}

// llmKey is where the key of the model is, for the reason that s3AccessKey is in
// the environment.
const llmKey = "AGENTBAY_LLM_KEY"

func (o *llmOptions) check() error {
	if o.maxTokensPerKey < 0 {
		return agentbay.Errorf(agentbay.Invalid, "--llm-max-tokens-per-key is not below 0")
	}
	if o.atOnce < 1 || o.maxTokens < 1 {
		return agentbay.Errorf(agentbay.Invalid, "--llm-at-once and --llm-max-tokens are above 0")
	}
	if o.url == "" && o.model == "" {
		return nil
	}
	return checkModel(o.url, o.model)
}

// checkModel checks where a model is said to be.
func checkModel(address, model string) error {
	if address == "" || model == "" {
		return agentbay.Errorf(agentbay.Invalid, "--llm-url and --llm-model belong together")
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return agentbay.Errorf(agentbay.Invalid, "--llm-url is not https://host/path or http://host/path; a key belongs into %s", llmKey)
	}
	return nil
}

// operator is what works on pages; nil if there is no model for it.
func (o *llmOptions) operator() *operator.Operator {
	if o.url == "" {
		return nil
	}
	return o.operatorOf(store.KeyModel{URL: o.url, Name: o.model, Secret: os.Getenv(llmKey)})
}

// operatorOf is what works on pages with a model.
func (o *llmOptions) operatorOf(m store.KeyModel) *operator.Operator {
	return &operator.Operator{Model: operator.NewEndpoint(m.URL, m.Name, m.Secret, o.atOnce), MaxTokens: o.maxTokens}
}
