package agentbay

import (
	"context"
	"encoding/json"
	"errors"
	"maps"

	"github.com/agentbay/agentbay/tool"
)

// A Session is one isolated machine of a bay, to be used. It is safe for
// concurrent use.
type Session struct {
	ID      SessionID
	service Service
}

// Use makes a Session of one that service knows, without asking it.
func Use(service Service, id SessionID) *Session { return &Session{ID: id, service: service} }

// Create boots a session and waits until the files of its contexts are there;
// CreateSession and [Session.AwaitContexts] wait for some of them only. Delete
// it when it is no longer needed; else the bay releases it once it has been idle
// for spec.IdleTimeout. On failure nothing is left behind.
func (c *Client) Create(ctx context.Context, spec SessionSpec) (*Session, error) {
	info, err := c.CreateSession(ctx, spec)
	if err != nil {
		return nil, err
	}
	s := Use(c, info.ID)
	if len(spec.Contexts) == 0 {
		return s, nil
	}
	if err := s.AwaitContexts(ctx, spec.Contexts...); err != nil {
		return nil, errors.Join(err, c.DeleteSession(context.WithoutCancel(ctx), s.ID))
	}
	return s, nil
}

// Open returns a session made earlier, or elsewhere with the same key.
//
// NotFound: there is none, or it has ended.
func (c *Client) Open(ctx context.Context, id SessionID) (*Session, error) {
	if _, err := c.linkOf(ctx, id); err != nil {
		return nil, err
	}
	return Use(c, id), nil
}

// Info returns what the bay knows of the session, also for a while after its end.
func (s *Session) Info(ctx context.Context) (*SessionInfo, error) {
	return s.service.Session(ctx, s.ID)
}

// Labels returns the session's labels.
func (s *Session) Labels(ctx context.Context) (map[string]string, error) {
	info, err := s.Info(ctx)
	if err != nil {
		return nil, err
	}
	return maps.Clone(info.Labels), nil
}

// SetLabels replaces the session's labels.
func (s *Session) SetLabels(ctx context.Context, labels map[string]string) error {
	return s.service.SetLabels(ctx, s.ID, labels)
}

// KeepAlive resets the session's idle timer, as every tool call does.
func (s *Session) KeepAlive(ctx context.Context) error { return s.service.KeepAlive(ctx, s.ID) }

// ViewLink returns the address of a page that shows the session's screen to
// whoever has it: with mouse and keyboard, unless it is for watching only.
func (s *Session) ViewLink(ctx context.Context, watchOnly bool) (string, error) {
	return s.service.ViewLink(ctx, s.ID, watchOnly)
}

// RevokeViews makes every link to the session's page useless.
func (s *Session) RevokeViews(ctx context.Context) error { return s.service.RevokeViews(ctx, s.ID) }

// Control says who is at the session's screen, and who had control of it.
func (s *Session) Control(ctx context.Context) (*Control, error) { return s.service.Control(ctx, s.ID) }

// RequestHelp asks the people at the session's screen for help, and waits until
// one of them has taken control and handed it back.
func (s *Session) RequestHelp(ctx context.Context, message string) (*Help, error) {
	asked, err := s.service.RequestHelp(ctx, s.ID, message)
	if err != nil {
		return nil, err
	}
	err = until(ctx, func() (bool, error) {
		now, err := s.service.Control(ctx, s.ID)
		if err != nil {
			return false, err
		}
		for _, h := range now.Help {
			if h.ID == asked.ID {
				*asked = h
				return h.State == HelpDone, nil
			}
		}
		return true, nil // so many were asked since that it is forgotten
	})
	return asked, err
}

// AnswerHelp says that what was asked for is done, without control having been
// taken. [Session.Control] lists what was asked for, whoever has asked. The note
// is for the agent.
//
// NotFound: nothing was asked for by that ID, or it was given up.
func (s *Session) AnswerHelp(ctx context.Context, help, note string) error {
	return s.service.AnswerHelp(ctx, s.ID, help, note)
}

// StartRecording records the session's screen until StopRecording, the end of the
// session or the end of the room for it.
//
// Conflict: it is being recorded already.
func (s *Session) StartRecording(ctx context.Context, spec RecordingSpec) (*Recording, error) {
	return s.service.StartRecording(ctx, s.ID, spec)
}

// StopRecording ends the recording and returns it when its video is complete.
//
// Conflict: the session is not being recorded.
func (s *Session) StopRecording(ctx context.Context) (*Recording, error) {
	return s.service.StopRecording(ctx, s.ID)
}

// Recordings lists the session's recordings, oldest first, also after its end.
func (s *Session) Recordings(ctx context.Context) ([]Recording, error) {
	return s.service.Recordings(ctx, s.ID)
}

// Delete releases the session and waits until it holds nothing. Deleting what
// has ended is not an error.
func (s *Session) Delete(ctx context.Context) error {
	err := s.service.DeleteSession(ctx, s.ID)
	if errors.Is(err, NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return until(ctx, func() (bool, error) { return s.ended(ctx) })
}

func (s *Session) ended(ctx context.Context) (bool, error) {
	info, err := s.Info(ctx)
	if errors.Is(err, NotFound) {
		return true, nil
	}
	return err == nil && info.State.Ended(), err
}

// Metrics returns what the session uses.
func (s *Session) Metrics(ctx context.Context) (*tool.MetricsOut, error) {
	r, err := s.do(ctx, tool.Metrics.Name, nil)
	if err != nil {
		return nil, err
	}
	var m tool.MetricsOut
	err = json.Unmarshal([]byte(r), &m)
	return &m, Wrap(err, Internal, "the bay's metrics have another shape than expected")
}

// Call runs any tool by name; args, which may be nil, is marshalled as its JSON
// arguments. A tool that ran and reported a failure is a Result with Failed set.
func (s *Session) Call(ctx context.Context, name string, args any) (tool.Result, error) {
	if args == nil {
		args = tool.None{}
	}
	b, err := json.Marshal(args)
	if err != nil {
		return tool.Result{}, Wrap(err, Invalid, "the arguments of %s cannot be written as JSON", name)
	}
	return result(ctx, s.service, s.ID, tool.Call{Name: name, Args: b})
}

// do is Call for tools whose failure is an error like any other.
func (s *Session) do(ctx context.Context, name string, args any) (string, error) {
	r, err := s.Call(ctx, name, args)
	if err != nil {
		return "", err
	}
	if r.Failed {
		return "", Errorf(Invalid, "%s: %s", name, r.Text)
	}
	return r.Text, nil
}

// ask performs a tool that answers with JSON.
func ask[In, Out any](ctx context.Context, s *Session, d tool.Def[In, Out], in In) (out Out, err error) {
	text, err := s.do(ctx, d.Name, in)
	if err != nil {
		return out, err
	}
	if err := tool.Unmarshal([]byte(text), &out); err != nil {
		return out, Wrap(err, Internal, "the answer of %s has another shape than expected", d.Name)
	}
	return out, nil
}
