package agentbay

import (
	"cmp"
	"context"
	"slices"
)

// AwaitCleared waits until what ClearContext started is done.
func (c *Client) AwaitCleared(ctx context.Context, id ContextID) error {
	return until(ctx, func() (bool, error) {
		info, err := c.Context(ctx, id)
		return err == nil && info.State != ContextClearing, err
	})
}

// MountContexts shows contexts in the session, and returns when their files are
// there.
func (s *Session) MountContexts(ctx context.Context, mounts ...ContextMount) error {
	if err := s.service.MountContexts(ctx, s.ID, mounts...); err != nil {
		return err
	}
	return s.AwaitContexts(ctx, mounts...)
}

// AwaitContexts waits until the files of mounts are there that were asked for.
func (s *Session) AwaitContexts(ctx context.Context, mounts ...ContextMount) error {
	return s.await(ctx, Download, func(t SyncTask) bool {
		return slices.ContainsFunc(mounts, func(m ContextMount) bool { return m.Context == t.Context && m.Path == t.Path })
	})
}

// SyncContexts saves what the session changed, or with Mode Download shows what
// others saved meanwhile, and waits until that is done. The zero request saves
// every mount; its Session is set here.
func (s *Session) SyncContexts(ctx context.Context, req SyncRequest) error {
	req.Session, req.Mode = s.ID, cmp.Or(req.Mode, Upload)
	if err := s.service.Sync(ctx, req); err != nil {
		return err
	}
	if req.Path != "" {
		return s.await(ctx, req.Mode, func(t SyncTask) bool { return t.Context == req.Context && t.Path == req.Path })
	}
	mounts, err := s.service.ContextMounts(ctx, s.ID)
	if err != nil {
		return err
	}
	return s.await(ctx, req.Mode, func(t SyncTask) bool { // tasks of single files are somebody else's
		return (req.Context == "" || req.Context == t.Context) &&
			slices.ContainsFunc(mounts, func(m ContextMount) bool { return m.Context == t.Context && m.Path == t.Path })
	})
}

// await waits until the tasks in a direction have ended that want selects.
func (s *Session) await(ctx context.Context, mode SyncMode, want func(SyncTask) bool) error {
	return until(ctx, func() (bool, error) {
		tasks, err := s.service.Syncs(ctx, SyncQuery{Session: s.ID, Mode: mode})
		if err != nil {
			return false, err
		}
		done := true
		for _, t := range tasks {
			if !want(t) {
				continue
			}
			if err := t.err(); err != nil {
				return false, err
			}
			done = done && t.State.Ended()
		}
		return done, nil
	})
}

// err is why the task failed, if it did.
func (t SyncTask) err() error {
	if t.State != SyncFailed {
		return nil
	}
	return Errorf(Unavailable, "the %s of context %s at %s failed: %s", t.Mode, t.Context, t.Path, cmp.Or(t.Error, "the bay does not say why"))
}
