package store

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"time"

	"github.com/agentbay/agentbay"
)

// A Snapshot is a state that a context had.
type Snapshot struct {
	agentbay.Snapshot
	Root string // names its files
}

// A Commit switches a context from one root to another.
type Commit struct {
	Context    agentbay.ContextID
	Old, New   string // roots
	Files      int64  // in the new one
	Bytes      int64
	SnapshotID string
	Reason     string
	SessionID  agentbay.SessionID // whose work it is; may be empty
	At         time.Time
	Settles    string    // the mount of SessionID that is saved for good by this; may be empty
	Since      time.Time // the newest snapshot, if not older and of the same reason and session, gives way to this one; zero means none does
}

// Commit makes c.New the root of a context, keeps it as a snapshot and settles a
// mount, all or nothing. Once it returns nil that survives the loss of power.
//
// Conflict: the root is not c.Old any more; look at it and try again.
// NotFound: the context is gone.
func (s *Store) Commit(ctx context.Context, c Commit) error {
	return s.db.Durably(ctx, func(tx *sql.Tx) error {
		if err := switchRoot(ctx, tx, c); err != nil {
			return err
		}
		if err := giveWay(ctx, tx, c); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO snapshots (id, context_id, at, reason, session_id, root, files, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			c.SnapshotID, c.Context, nanos(c.At), c.Reason, c.SessionID, c.New, c.Files, c.Bytes)
		if err != nil || c.Settles == "" {
			return err
		}
		_, err = tx.ExecContext(ctx, settle, c.SessionID, c.Settles)
		return err
	})
}

// giveWay forgets the newest snapshot if c continues it.
func giveWay(ctx context.Context, tx *sql.Tx, c Commit) error {
	if c.Since.IsZero() {
		return nil
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM snapshots WHERE seq = (SELECT max(seq) FROM snapshots WHERE context_id = ?) AND reason = ? AND session_id = ? AND at >= ?",
		c.Context, c.Reason, c.SessionID, nanos(c.Since))
	return err
}

func switchRoot(ctx context.Context, tx *sql.Tx, c Commit) error {
	res, err := tx.ExecContext(ctx, "UPDATE contexts SET root = ?, files = ?, bytes = ?, used_at = max(used_at, ?) WHERE id = ? AND root = ?",
		c.New, c.Files, c.Bytes, nanos(c.At), c.Context, c.Old)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	var known bool
	if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM contexts WHERE id = ?)", c.Context).Scan(&known); err != nil {
		return err
	}
	if !known {
		return contextNotFound(c.Context)
	}
	return agentbay.Errorf(agentbay.Conflict, "context %s was changed meanwhile; try again", c.Context)
}

// snapshotColumns ends with whether it is the current one: the newest is, as
// each switch of the root makes one.
const snapshotColumns = "id, at, reason, session_id, root, files, bytes, " +
	"NOT EXISTS (SELECT 1 FROM snapshots newer WHERE newer.context_id = snapshots.context_id AND newer.seq > snapshots.seq)"

// Snapshots lists the states of a context that are kept, newest first.
func (s *Store) Snapshots(ctx context.Context, id agentbay.ContextID) ([]Snapshot, error) {
	rows, err := s.db.Read.QueryContext(ctx, "SELECT "+snapshotColumns+" FROM snapshots WHERE context_id = ? ORDER BY seq DESC", id)
	if err != nil {
		return nil, err
	}
	return collect(rows, scanSnapshot)
}

// Snapshot finds a state of a context.
func (s *Store) Snapshot(ctx context.Context, id agentbay.ContextID, snapshot string) (Snapshot, error) {
	x, err := scanSnapshot(s.db.Read.QueryRowContext(ctx, "SELECT "+snapshotColumns+" FROM snapshots WHERE context_id = ? AND id = ?", id, snapshot))
	if errors.Is(err, sql.ErrNoRows) {
		return Snapshot{}, agentbay.Errorf(agentbay.NotFound, "context %s has no snapshot %q; its history shows which it has", id, snapshot)
	}
	return x, err
}

// needless selects the states of a context that are older than a time or beyond
// a number, without the current one.
const needless = "SELECT seq FROM (SELECT seq, at, row_number() OVER (ORDER BY seq DESC) AS place FROM snapshots WHERE context_id = ?) " +
	"WHERE place > 1 AND (place > ? OR at < ?)"

// PruneSnapshots forgets for good those states of a context that are older than
// before, and those that are not among its keep newest, but never the current
// one. It returns how many there were.
func (s *Store) PruneSnapshots(ctx context.Context, id agentbay.ContextID, keep int, before time.Time) (n int64, err error) {
	var some bool // most sweeps find nothing, which must not cost a sync of the disk
	err = s.db.Read.QueryRowContext(ctx, "SELECT EXISTS ("+needless+")", id, keep, nanos(before)).Scan(&some)
	if err != nil || !some {
		return 0, err
	}
	err = s.db.Durably(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "DELETE FROM snapshots WHERE seq IN ("+needless+")", id, keep, nanos(before))
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	return n, err
}

// AllRoots yields each root that something of a key needs: its contexts, their
// snapshots, what its sessions have mounted. It is one moment's answer, and the
// store can be used meanwhile.
func (s *Store) AllRoots(ctx context.Context, keyID string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		roots, err := s.roots(ctx, keyID)
		if err != nil {
			yield("", err)
			return
		}
		for _, root := range roots {
			if !yield(root, nil) {
				return
			}
		}
	}
}

func (s *Store) roots(ctx context.Context, keyID string) ([]string, error) {
	rows, err := s.db.Read.QueryContext(ctx, "SELECT root FROM contexts WHERE key_id = ?1 AND root <> '' "+
		"UNION SELECT x.root FROM snapshots x JOIN contexts c ON c.id = x.context_id WHERE c.key_id = ?1 AND x.root <> '' "+
		"UNION SELECT m.root FROM mounts m JOIN sessions s ON s.id = m.session_id WHERE s.key_id = ?1 AND m.root <> ''", keyID)
	if err != nil {
		return nil, err
	}
	return collect(rows, func(r row) (root string, err error) {
		err = r.Scan(&root)
		return root, err
	})
}

func scanSnapshot(r row) (x Snapshot, err error) {
	var at int64
	err = r.Scan(&x.ID, &at, &x.Reason, &x.Session, &x.Root, &x.Files, &x.Bytes, &x.Current)
	x.At = moment(at)
	return x, err
}
