package bay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agentbay/agentbay/internal/operator"
	"github.com/agentbay/agentbay/internal/store"
)

// Which model works on pages: the one of the API key that asks, or else the bay's.

// An ownModel is a key's own, as it was configured.
type ownModel struct {
	of       store.KeyModel
	operator *operator.Operator
}

// errNoModel is what who asks for a model is told where there is none.
var errNoModel = errors.New("this bay has no model to do that; whoever runs it starts the server with --llm-url and --llm-model, " +
	"and with its key in AGENTBAY_LLM_KEY, or gives your API key a model with `agentbay apikey model`. " +
	"Tools such as page_use_snapshot and page_use_perform let a model of your own work on the page")

// withModel is work that needs a model.
func (u *use) withModel(do func(context.Context, *operator.Operator, bayPage) (any, operator.Usage, error)) (work, error) {
	model, err := u.model()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, page bayPage) (any, operator.Usage, error) { return do(ctx, model, page) }, nil
}

// model is what works on pages for the key, with as many tokens as that has left
// today. The server's limit for keys is of the server's model.
func (u *use) model() (*operator.Operator, error) {
	b, key := u.caller.bay, u.caller.key
	own, err := b.Store.KeyModel(u.ctx, key.ID)
	if err != nil {
		return nil, err
	}
	model, limit := b.Operator, cmp.Or(key.MaxTokens, b.MaxTokensPerKey)
	if own.URL != "" {
		model, limit = b.ownModel(key.ID, own), key.MaxTokens
	}
	if model == nil {
		return nil, errNoModel
	}
	counted := *model
	counted.Used = u.count
	if limit == 0 {
		return &counted, nil
	}
	used, err := b.Store.TokensUsed(u.ctx, key.ID, time.Now())
	if err != nil {
		return nil, err
	}
	if used >= limit {
		return nil, fmt.Errorf("this API key has used %d tokens of the model today, and may use %d a day; the next day begins at 00:00 UTC", used, limit)
	}
	counted.MaxTokens = min(cmp.Or(model.MaxTokens, operator.DefaultMaxTokens), limit-used)
	return &counted, nil
}

// count adds what the model was asked to do to what its key has used.
func (u *use) count(used operator.Usage) {
	b, key := u.caller.bay, u.caller.key.ID
	err := b.Store.AddUsage(context.WithoutCancel(b.ctx), key, store.Usage{
		Session: u.session.ID, Requests: used.Requests, TokensIn: used.In, TokensOut: used.Out,
	}, time.Now())
	if err != nil {
		b.Log.Error("use of the model was not counted", "session", u.session.ID, "key", key, "err", err)
	}
}

// ownModel is what works with a key's own model. It is the same from task to task,
// so that together they ask for no more answers at once than they may.
func (b *Bay) ownModel(key string, of store.KeyModel) *operator.Operator {
	b.mu.Lock()
	defer b.mu.Unlock()
	if had, ok := b.own[key]; ok && had.of == of {
		return had.operator
	}
	o := b.OperatorOf(of)
	b.own[key] = ownModel{of, o}
	return o
}
