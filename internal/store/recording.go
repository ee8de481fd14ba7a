package store

import (
	"context"
	"time"

	"github.com/agentbay/agentbay"
)

// A Recording is one file of a recorded screen.
type Recording struct {
	Name      string // of the capture
	Kind      agentbay.RecordingKind
	Spec      agentbay.RecordingSpec
	StartedAt time.Time
	EndedAt   time.Time // zero until its end is recorded
	Reason    string    // why it ended
}

// AddRecording records that a recording has begun.
func (s *Store) AddRecording(ctx context.Context, id agentbay.SessionID, r Recording) error {
	_, err := s.exec(ctx, "INSERT INTO recordings (session_id, name, kind, frame_rate, max_bytes, started_at, ended_at, reason) VALUES (?, ?, ?, ?, ?, ?, 0, '')",
		id, r.Name, r.Kind, r.Spec.FrameRate, r.Spec.MaxBytes, nanos(r.StartedAt))
	return err
}

// EndRecording records that a recording has ended.
func (s *Store) EndRecording(ctx context.Context, name, reason string, at time.Time) error {
	_, err := s.exec(ctx, "UPDATE recordings SET ended_at = ?, reason = ? WHERE name = ?", nanos(at), reason, name)
	return err
}

// Recordings returns the last of a session's, oldest first.
func (s *Store) Recordings(ctx context.Context, id agentbay.SessionID, most int) ([]Recording, error) {
	rows, err := s.db.Read.QueryContext(ctx, "SELECT name, kind, frame_rate, max_bytes, started_at, ended_at, reason FROM "+
		"(SELECT * FROM recordings WHERE session_id = ? ORDER BY seq DESC LIMIT ?) ORDER BY seq", id, most)
	if err != nil {
		return nil, err
	}
	return collect(rows, func(r row) (x Recording, err error) {
		var started, ended int64
		err = r.Scan(&x.Name, &x.Kind, &x.Spec.FrameRate, &x.Spec.MaxBytes, &started, &ended, &x.Reason)
		x.StartedAt, x.EndedAt = moment(started), moment(ended)
		return x, err
	})
}
