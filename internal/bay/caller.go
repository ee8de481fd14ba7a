package bay

import (
	"context"
	"errors"
	"io"
	"maps"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/store"
	"github.com/agentbay/agentbay/tool"
)

// A caller is the bay as one API key sees it.
type caller struct {
	bay  *Bay
	key  store.Key
	only agentbay.SessionID // if not empty, all it may see; it may not create
}

var (
	_ agentbay.Service        = (*caller)(nil)
	_ agentbay.ContextService = (*caller)(nil)
)

// Key returns the service of an API key.
//
// Denied: there is no such key, or it is disabled.
func (b *Bay) Key(ctx context.Context, key string) (agentbay.Service, error) {
	k, err := b.Store.KeyByHash(ctx, gate.Hash(key))
	switch {
	case agentbay.CodeOf(err) == agentbay.NotFound:
		return nil, agentbay.Errorf(agentbay.Denied, "the API key is missing or not one of this bay's; `agentbay apikey create` makes one")
	case err != nil:
		return nil, agentbay.Wrap(err, agentbay.Internal, "the API key could not be checked")
	case k.Disabled:
		return nil, agentbay.Errorf(agentbay.Denied, "API key %s is disabled; `agentbay apikey enable` enables it", k.Name)
	}
	b.used(ctx, k)
	return &caller{bay: b, key: k}, nil
}

// used records that a key was used, at most once a minute.
func (b *Bay) used(ctx context.Context, k store.Key) {
	now := time.Now()
	if now.Sub(k.UsedAt) < time.Minute {
		return
	}
	if err := b.Store.TouchKey(context.WithoutCancel(ctx), k.ID, now); err != nil {
		b.Log.ErrorContext(ctx, "use of an API key could not be recorded", "key", k.ID, "err", err)
	}
}

// Token returns the service of the key that made a session, restricted to that
// session, to who shows the session's token.
//
// NotFound: there is no such session, or it has ended.
// Denied: that is not its token, or the key is disabled or deleted.
func (b *Bay) Token(ctx context.Context, id agentbay.SessionID, token string) (agentbay.Service, error) {
	return b.enter(ctx, id, func(secret string) bool { return gate.Match(token, secret) })
}

// Port returns a way to connect to one port of a session, to who shows the
// token of that port's link ([gate.PortToken]).
//
// NotFound: there is no such session, or it has ended.
// Denied: that is not its token, or the key is disabled or deleted.
func (b *Bay) Port(ctx context.Context, id agentbay.SessionID, port uint16, token string) (func(context.Context) (io.ReadWriteCloser, error), error) {
	s, err := b.enter(ctx, id, func(secret string) bool { return gate.Match(token, gate.PortToken(secret, port)) })
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (io.ReadWriteCloser, error) { return s.DialPort(ctx, id, port) }, nil
}

// enter lets in, to one session, who shows a token that opens a session with
// that secret.
func (b *Bay) enter(ctx context.Context, id agentbay.SessionID, opens func(secret string) bool) (agentbay.Service, error) {
	x, err := b.lookUp(ctx, id)
	if err != nil {
		return nil, err
	}
	if x.KeyID == "" {
		return nil, notFound(id)
	}
	if !opens(x.Token) {
		return nil, agentbay.Errorf(agentbay.Denied, "that is not the token of session %s", id)
	}
	if !x.State.Alive() {
		return nil, gone(x)
	}
	k, err := b.Store.Key(ctx, x.KeyID)
	if err != nil || k.Disabled || k.ID != x.KeyID {
		return nil, agentbay.Errorf(agentbay.Denied, "the API key of session %s is disabled or deleted", id)
	}
	return &caller{bay: b, key: k, only: id}, nil
}

// As returns the service of a key without asking for the key, for who need not
// be asked: the command line on the host, and tests.
func (b *Bay) As(key store.Key) agentbay.Service { return &caller{bay: b, key: key} }

// mayCreate refuses who was let in for one session only.
func (c *caller) mayCreate() error {
	if c.only != "" {
		return agentbay.Errorf(agentbay.Denied, "a session's token opens that session only; use an API key")
	}
	return nil
}

func (c *caller) CreateSession(ctx context.Context, spec agentbay.SessionSpec) (info *agentbay.SessionInfo, err error) {
	began := time.Now()
	if err = c.mayCreate(); err == nil {
		info, err = c.create(ctx, spec)
	}
	var id agentbay.SessionID
	if info != nil {
		id = info.ID
	}
	c.log(ctx, "create session", began, err, "session", id, "image", shorten(spec.Image), "sdk", shorten(spec.SDK))
	return info, err
}

func (c *caller) Session(ctx context.Context, id agentbay.SessionID) (*agentbay.SessionInfo, error) {
	x, err := c.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return &x.SessionInfo, nil
}

// find returns a session of the caller, ended or not.
func (c *caller) find(ctx context.Context, id agentbay.SessionID) (store.Session, error) {
	if c.only != "" && c.only != id {
		return store.Session{}, notFound(id)
	}
	x, err := c.bay.lookUp(ctx, id)
	if err != nil {
		return x, err
	}
	if x.KeyID != c.key.ID {
		return store.Session{}, notFound(id)
	}
	return x, nil
}

// lookUp returns what is known of a session: from memory what is live, from the
// store what has ended.
func (b *Bay) lookUp(ctx context.Context, id agentbay.SessionID) (store.Session, error) {
	b.mu.Lock()
	s := b.live[id]
	if s != nil {
		x := s.Session
		x.SessionInfo = *s.infoLocked()
		b.mu.Unlock()
		return x, nil
	}
	b.mu.Unlock()
	x, err := b.Store.Session(ctx, id)
	if agentbay.CodeOf(err) == agentbay.NotFound {
		return x, notFound(id)
	}
	return x, agentbay.Wrap(err, agentbay.Internal, "session %s could not be looked up", id)
}

func (c *caller) Sessions(ctx context.Context, q agentbay.SessionQuery) (*agentbay.SessionPage, error) {
	if err := c.mayCreate(); err != nil {
		return nil, err
	}
	if err := checkQuery(q); err != nil {
		return nil, err
	}
	page, err := c.bay.Store.Sessions(ctx, c.key.ID, q)
	if err != nil && agentbay.CodeOf(err) != agentbay.Invalid {
		return nil, agentbay.Wrap(err, agentbay.Internal, "the sessions could not be listed")
	}
	return page, err
}

func (c *caller) SetLabels(ctx context.Context, id agentbay.SessionID, labels map[string]string) (err error) {
	began := time.Now()
	defer func() { c.log(ctx, "set labels", began, err, "session", id) }()
	if err := checkLabels(labels); err != nil {
		return err
	}
	if _, err := c.running(ctx, id); err != nil {
		return err
	}
	if err := c.bay.Store.SetLabels(ctx, id, labels); err != nil {
		return agentbay.Wrap(err, agentbay.Internal, "the labels of session %s could not be recorded", id)
	}
	c.bay.mu.Lock()
	defer c.bay.mu.Unlock()
	if s := c.bay.live[id]; s != nil {
		s.Labels = maps.Clone(labels)
	}
	return nil
}

func (c *caller) KeepAlive(ctx context.Context, id agentbay.SessionID) error {
	use, err := c.use(ctx, id, "keep alive")
	if err != nil {
		return err
	}
	return use.end(nil)
}

func (c *caller) DeleteSession(ctx context.Context, id agentbay.SessionID) (err error) {
	began := time.Now()
	defer func() { c.log(ctx, "delete session", began, err, "session", id) }()
	if err := c.bay.join(); err != nil {
		return err
	}
	defer c.bay.inFlight.Done()
	s, err := c.running(ctx, id)
	if err != nil {
		return err
	}
	err = c.bay.retire(ctx, s, "deleted")
	if errors.Is(err, agentbay.Conflict) { // somebody else was faster
		return c.ended(ctx, id)
	}
	return err
}

// running returns a session of the caller that takes calls.
//
// NotFound: there is none, or it has ended; the message says why.
// Unavailable: it is still booting.
func (c *caller) running(ctx context.Context, id agentbay.SessionID) (*session, error) {
	if c.only == "" || c.only == id {
		c.bay.mu.Lock()
		s := c.bay.live[id]
		ok := s != nil && s.KeyID == c.key.ID && s.State == agentbay.Running
		c.bay.mu.Unlock()
		if ok {
			return s, nil
		}
	}
	return nil, c.ended(ctx, id)
}

// ended is why a session does not take calls.
func (c *caller) ended(ctx context.Context, id agentbay.SessionID) error {
	x, err := c.find(ctx, id)
	switch {
	case err != nil:
		return err
	case x.State.Alive():
		return agentbay.Errorf(agentbay.Unavailable, "session %s is %s; try again in a moment", id, x.State)
	}
	return gone(x)
}

func (c *caller) Tools(_ context.Context, name string) ([]tool.Tool, error) {
	if name == "" {
		name = agentbay.DefaultImage
	}
	img, err := c.bay.Images.Get(name)
	if err != nil {
		return nil, err
	}
	return tool.Of(append([]tool.Family{tool.System}, img.Config.Families...)...), nil
}

func (c *caller) CallTool(ctx context.Context, id agentbay.SessionID, call tool.Call) (*tool.Reply, error) {
	use, err := c.use(ctx, id, call.Name)
	if err != nil {
		return nil, err
	}
	reply, err := use.call(call)
	if err != nil {
		return nil, use.end(err)
	}
	reply.Body = &body{ReadCloser: reply.Body, use: use, failed: reply.Failed}
	return reply, nil
}

func (c *caller) StreamTool(ctx context.Context, id agentbay.SessionID, call tool.Call, yield func(event []byte) error) error {
	use, err := c.use(ctx, id, "stream "+call.Name)
	if err != nil {
		return err
	}
	var refused error // by the caller, who needs no explanation
	err = use.stream(call, func(event []byte) error {
		refused = yield(event)
		return refused
	})
	if refused != nil {
		use.end(nil)
		return refused
	}
	return use.end(err)
}

func (c *caller) DialPort(ctx context.Context, id agentbay.SessionID, port uint16) (io.ReadWriteCloser, error) {
	use, err := c.use(ctx, id, "dial port")
	if err != nil {
		return nil, err
	}
	conn, err := use.session.guest.DialPort(use.ctx, port)
	if err != nil {
		return nil, use.end(err)
	}
	return newPortConn(conn, use), nil
}
