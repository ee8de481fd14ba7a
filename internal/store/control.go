package store

import (
	"context"
	"time"

	"github.com/agentbay/agentbay"
)

// NextViewRound begins a new round of links to a session's page, which revokes
// all there are, and returns it.
func (s *Store) NextViewRound(ctx context.Context, id agentbay.SessionID) (round int, err error) {
	n, err := s.exec(ctx, "UPDATE sessions SET view_round = view_round + 1 WHERE id = ?", id)
	if err := changed(n, err, "session", string(id)); err != nil {
		return 0, err
	}
	err = s.db.Read.QueryRowContext(ctx, "SELECT view_round FROM sessions WHERE id = ?", id).Scan(&round)
	return round, err
}

// AddControlEvent records that control of a session's screen changed hands.
func (s *Store) AddControlEvent(ctx context.Context, id agentbay.SessionID, e agentbay.ControlEvent) error {
	_, err := s.exec(ctx, "INSERT INTO control_events (session_id, at, kind, address, note, held) VALUES (?, ?, ?, ?, ?, ?)",
		id, nanos(e.At), e.Kind, e.Address, e.Note, int64(e.Held))
	return err
}

// ControlEvents returns the last of a session's, oldest first.
func (s *Store) ControlEvents(ctx context.Context, id agentbay.SessionID, most int) ([]agentbay.ControlEvent, error) {
	rows, err := s.db.Read.QueryContext(ctx, "SELECT at, kind, address, note, held FROM "+
		"(SELECT * FROM control_events WHERE session_id = ? ORDER BY seq DESC LIMIT ?) ORDER BY seq", id, most)
	if err != nil {
		return nil, err
	}
	return collect(rows, func(r row) (e agentbay.ControlEvent, err error) {
		var at, held int64
		err = r.Scan(&at, &e.Kind, &e.Address, &e.Note, &held)
		e.At, e.Held = moment(at), time.Duration(held)
		return e, err
	})
}
