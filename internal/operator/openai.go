package operator

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// Endpoint is a model behind an API such as OpenAI's, which most that serve models
// speak.
type Endpoint struct {
	name   string
	client openai.Client
	turns  chan struct{} // a token for each request under way
}

// answerWithin is how long a model may take for one answer.
const answerWithin = 3 * time.Minute

// NewEndpoint returns the model of a name behind a base URL, such as
// https://api.openai.com/v1. Of it at most so many answers are asked for at once.
// key may be empty.
func NewEndpoint(baseURL, name, key string, atOnce int) *Endpoint {
	return &Endpoint{
		name: name, turns: make(chan struct{}, max(atOnce, 1)),
		client: openai.NewClient(option.WithBaseURL(baseURL), option.WithAPIKey(key), option.WithRequestTimeout(answerWithin), option.WithMaxRetries(3)),
	}
}

// Complete implements Model.
func (e *Endpoint) Complete(ctx context.Context, conversation []Message) (Completion, error) {
	select {
	case e.turns <- struct{}{}:
		defer func() { <-e.turns }()
	case <-ctx.Done():
		return Completion{}, context.Cause(ctx)
	}
	params := openai.ChatCompletionNewParams{Model: e.name}
	for _, m := range conversation {
		params.Messages = append(params.Messages, m.openai())
	}
	answer, err := e.client.Chat.Completions.New(ctx, params)
	if err != nil {
		return Completion{}, explain(ctx, err)
	}
	c := Completion{Usage: Usage{In: answer.Usage.PromptTokens, Out: answer.Usage.CompletionTokens}}
	if len(answer.Choices) == 0 {
		return c, failf("the model's endpoint answers without a choice")
	}
	c.Text = answer.Choices[0].Message.Content
	return c, nil
}

func (m Message) openai() openai.ChatCompletionMessageParamUnion {
	switch {
	case m.System:
		return openai.SystemMessage(m.Text)
	case m.Picture == "":
		return openai.UserMessage(m.Text)
	}
	return openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
		openai.TextContentPart(m.Text),
		openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: "data:image/jpeg;base64," + m.Picture}),
	})
}

// explain says what is wrong with an endpoint, without what was sent to it.
func explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var refusal *openai.Error
	if !errors.As(err, &refusal) {
		return failf("the model's endpoint does not answer: %v", err)
	}
	switch refusal.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return failf("the model's endpoint refuses the bay's key (%d); whoever runs the bay has to look at AGENTBAY_LLM_KEY", refusal.StatusCode)
	case http.StatusNotFound:
		return failf("the model's endpoint does not know the model, or is not at that address (404); whoever runs the bay has to look at --llm-url and --llm-model")
	case http.StatusTooManyRequests:
		return failf("the model's endpoint refuses so many requests (429); try again later")
	}
	return failf("the model's endpoint refuses: %d, %s", refusal.StatusCode, clip(refusal.Message))
}
