package bay

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/image"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/store"
	"github.com/agentbay/agentbay/tool"
)

// create makes a session, and shows it its contexts. One that cannot be shown
// does not keep the session from its caller: its task says why.
func (c *caller) create(ctx context.Context, spec agentbay.SessionSpec) (*agentbay.SessionInfo, error) {
	spec, err := checkSpec(spec)
	if err != nil {
		return nil, err
	}
	mounts, err := c.planMounts(ctx, spec.Contexts)
	if err != nil {
		return nil, err
	}
	info, err := c.bay.provide(ctx, c.key, spec)
	if err != nil {
		return nil, err
	}
	if err = c.shoot(ctx, info.ID, spec); err == nil {
		err = c.show(ctx, info.ID, mounts)
	}
	if err != nil {
		return nil, errors.Join(err, c.DeleteSession(context.WithoutCancel(ctx), info.ID))
	}
	return info, nil
}

// shoot records a new session from the start: its pages, and its screen.
func (c *caller) shoot(ctx context.Context, id agentbay.SessionID, spec agentbay.SessionSpec) error {
	if spec.Replay != nil || c.bay.Replays {
		use, err := c.use(ctx, id, "record pages")
		if err == nil {
			err = use.end(use.replay(spec.Replay))
		}
		if err != nil {
			return err
		}
	}
	if spec.Record == nil {
		return nil
	}
	_, err := c.StartRecording(ctx, id, *spec.Record)
	return err
}

// show has a new session see its contexts. That is a call like any other: what
// ends the session or the bay does not overtake it.
func (c *caller) show(ctx context.Context, id agentbay.SessionID, mounts []*mount) error {
	if len(mounts) == 0 {
		return nil
	}
	use, err := c.use(ctx, id, "mount contexts")
	if err != nil {
		return err
	}
	if err := c.bay.record(use.ctx, use.session, mounts); err != nil {
		return use.end(err)
	}
	_ = c.bay.mountAll(use.ctx, use.session, mounts) // each failure is on its task and in the log
	return use.end(nil)
}

// provide makes a session for a key: a warm one if there is one, else a new one.
func (b *Bay) provide(ctx context.Context, key store.Key, spec agentbay.SessionSpec) (*agentbay.SessionInfo, error) {
	img, err := b.Images.Get(spec.Image)
	if err != nil {
		return nil, err
	}
	if spec.Record != nil {
		if _, err := b.checkRecording(spec.Image, img.Config.Families, *spec.Record); err != nil {
			return nil, err
		}
	}
	s := b.plan(img, key.ID, spec)
	warm, err := b.admit(key, s)
	if err != nil {
		s.over(err)
		return nil, err
	}
	defer b.inFlight.Done()
	if warm != nil {
		s.over(nil)
		return b.give(ctx, warm)
	}
	if err := b.boot(ctx, s, img); err != nil {
		return nil, err
	}
	return b.begin(ctx, s)
}

// plan makes a session that nobody has recorded yet.
func (b *Bay) plan(img image.Image, keyID string, spec agentbay.SessionSpec) *session {
	rt, now := b.runtimeOf(img), time.Now()
	return b.newSession(store.Session{
		SessionInfo: agentbay.SessionInfo{
			ID:          agentbay.SessionID(gate.NewSessionID()),
			Image:       spec.Image,
			ImageDigest: img.Digest,
			State:       agentbay.Starting,
			Isolation:   rt.Isolation(),
			Labels:      maps.Clone(spec.Labels),
			IdleTimeout: spec.IdleTimeout,
			CreatedAt:   now,
			Token:       gate.NewToken(),
		},
		KeyID:      keyID,
		Runtime:    b.nameOf(rt),
		GuestToken: gate.NewToken(),
		SDK:        spec.SDK,
		Waits:      spec.OnTakeOver == agentbay.WaitForHandBack,
		ActiveAt:   now,
	}, rt, img)
}

// nameOf is the name under which a runtime was configured.
func (b *Bay) nameOf(rt runtime.Runtime) string {
	for name, r := range b.Runtimes {
		if r == rt {
			return name
		}
	}
	return rt.Name()
}

// admit decides whether a key may have one more session. It returns a warm one
// that is what is wanted and counts as the key's from now on, or nil: then want
// counts, and is to be booted. Unless it fails, the caller must call
// inFlight.Done when that is done.
func (b *Bay) admit(key store.Key, want *session) (warm *session, err error) {
	if err := b.HighWater.check(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return nil, errClosing
	}
	if err := b.quotaLocked(key); err != nil {
		return nil, err
	}
	b.inFlight.Add(1)
	if warm = b.takeLocked(want); warm == nil {
		b.live[want.ID] = want
	}
	return warm, nil
}

// quotaLocked checks that there may be one more session. What is being released
// does not count, so that who deletes may create at once, unless that has failed.
func (b *Bay) quotaLocked(key store.Key) error {
	all, mine, waiting := 0, 0, ""
	for _, s := range b.live {
		if s.KeyID == "" || !s.State.Alive() && s.tries == 0 {
			continue
		}
		all++
		if s.KeyID == key.ID {
			mine++
			if s.tries > 0 {
				waiting = "; some have ended and wait for their files to be saved"
			}
		}
	}
	if most := cmp.Or(key.MaxSessions, b.MaxSessionsPerKey); most > 0 && mine >= most {
		return agentbay.Errorf(agentbay.Exhausted, "this API key has %d sessions, and may have %d at once; delete one first%s", mine, most, waiting)
	}
	if b.MaxSessions > 0 && all >= b.MaxSessions {
		return agentbay.Errorf(agentbay.Exhausted, "the server has %d sessions, and may have %d at once; try again when one has ended", all, b.MaxSessions)
	}
	return nil
}

// boot records a session and boots its machine. On failure nothing is left.
//
// The order matters: the store learns of the session before the host does, so a
// crash in between leaves a record to sweep and never a machine nobody knows of.
func (b *Bay) boot(ctx context.Context, s *session, img image.Image) (err error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(b.BootTimeout, 50*time.Second))
	defer cancel()
	defer context.AfterFunc(s.alive, cancel)() // the server is shutting down
	clean := context.WithoutCancel(ctx)

	var back undo
	defer func() { b.check(s, "take back", back.run()) }()

	back.push(func() error { b.drop(s); return nil })
	if err := b.bootSlot(ctx); err != nil {
		return err
	}
	defer func() { <-b.boots }()

	if err := b.Store.AddSession(ctx, s.Session); err != nil {
		return agentbay.Wrap(err, agentbay.Unavailable, "the session could not be recorded; try again")
	}
	back.push(func() error { return b.Store.Forget(clean, s.ID) })

	if err := b.Images.Acquire(img.Digest, string(s.ID)); err != nil {
		return agentbay.Wrap(err, agentbay.Unavailable, "image %s could not be kept for the session; try again", img.Name)
	}
	back.push(func() error { return b.Images.Release(string(s.ID)) })

	if err := s.machine.Start(ctx, b.spec(s, img)); err != nil {
		return b.notBooted(ctx, err)
	}
	back.forget()
	return nil
}

// bootSlot waits until one more machine may boot.
func (b *Bay) bootSlot(ctx context.Context) error {
	select {
	case b.boots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return b.notBooted(ctx, agentbay.Errorf(agentbay.Exhausted, "too many sessions are booting; try again in a moment"))
	}
}

// notBooted gives the error of a boot the code and words it lacks.
func (b *Bay) notBooted(ctx context.Context, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var known *agentbay.Error
	switch {
	case b.closing && ctx.Err() != nil:
		return errClosing
	case errors.As(err, &known) && known.Code != agentbay.Conflict && known.Code != agentbay.Internal:
		return err
	}
	return agentbay.Wrap(err, agentbay.Unavailable, "the session did not boot; try again")
}

// spec says what machine a session needs.
func (b *Bay) spec(s *session, img image.Image) runtime.Spec {
	c := img.Config
	return runtime.Spec{
		ID:      s.ID,
		Layers:  img.Layers,
		User:    c.User,
		Dir:     c.Dir,
		Env:     c.Env,
		Guest:   b.guestCommand(c, cmp.Or(b.Screens[img.Name], c.Screen)),
		Token:   s.GuestToken,
		Limits:  b.Machine,
		Network: b.Network,
	}
}

// guestCommand is the guest's command line in a session of an image.
func (b *Bay) guestCommand(c image.Config, screen string) []string {
	families := make([]string, 0, len(c.Families))
	for _, f := range c.Families {
		if f != tool.System {
			families = append(families, string(f))
		}
	}
	line := append([]string{}, b.Guest...)
	line = append(line, "--families", strings.Join(families, ","), "--dir", c.Dir)
	if len(c.Warm) > 0 {
		line = append(line, "--warm", strings.Join(c.Warm, ","))
	}
	if screen != "" {
		line = append(line, "--screen", screen)
	}
	return line
}

// begin puts a booted session into service.
func (b *Bay) begin(ctx context.Context, s *session) (*agentbay.SessionInfo, error) {
	b.mu.Lock()
	s.State = agentbay.Running
	s.activeLocked()
	info := s.infoLocked()
	b.mu.Unlock()
	b.watch(s)
	return b.recorded(ctx, s, info, b.Store.SetState(context.WithoutCancel(ctx), s.ID, agentbay.Running))
}

// recorded returns a new session if err says that the store knows of it. One
// that the store does not know would be lost at the next start.
func (b *Bay) recorded(ctx context.Context, s *session, info *agentbay.SessionInfo, err error) (*agentbay.SessionInfo, error) {
	if err == nil {
		return info, nil
	}
	b.retire(ctx, s, "could not be recorded")
	return nil, agentbay.Wrap(err, agentbay.Unavailable, "the session could not be recorded; try again")
}

// drop takes a session that never ran out of memory.
func (b *Bay) drop(s *session) {
	b.mu.Lock()
	delete(b.live, s.ID)
	b.mu.Unlock()
	s.over(errClosing)
}
