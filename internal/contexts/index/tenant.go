package index

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
	"github.com/agentbay/agentbay/internal/sqlite"
)

// batch is how many chunks one statement is about.
const batch = 500

// A tenant is the part of a file that is one tenant's.
type tenant struct {
	db   *sqlite.DB
	name string
}

var _ contexts.Index = (*tenant)(nil)

// Find returns where chunks are.
func (t *tenant) Find(ctx context.Context, ids []contexts.ID) ([]contexts.Location, error) {
	known := make(map[contexts.ID]contexts.Location, len(ids))
	for some := range slices.Chunk(ids, batch) {
		if err := t.find(ctx, some, known); err != nil {
			return nil, err
		}
	}
	found := make([]contexts.Location, len(ids))
	for i, id := range ids {
		found[i] = known[id]
	}
	return found, nil
}

func (t *tenant) find(ctx context.Context, ids []contexts.ID, known map[contexts.ID]contexts.Location) error {
	rows, err := t.db.Read.QueryContext(ctx, "SELECT c.id, p.name, c.offset, c.stored, c.size FROM chunks c JOIN packs p ON p.id = c.pack "+
		"WHERE c.tenant = (SELECT id FROM tenants WHERE name = ?) AND c.id IN "+places(len(ids)), append([]any{t.name}, blobs(ids)...)...)
	if err != nil {
		return err
	}
	return each(rows, func() error {
		c, err := scanChunk(rows)
		known[c.ID] = c.Location
		return err
	})
}

// places is n parameters in parentheses.
func places(n int) string {
	return "(?" + strings.Repeat(",?", n-1) + ")"
}

// blobs is IDs as parameters.
func blobs(ids []contexts.ID) []any {
	args := make([]any, len(ids))
	for i := range ids {
		args[i] = ids[i][:]
	}
	return args
}

// each calls f for each row and closes the rows.
func each(rows *sql.Rows, f func() error) error {
	defer rows.Close()
	for rows.Next() {
		if err := f(); err != nil {
			return err
		}
	}
	return rows.Err()
}

func scanChunk(rows *sql.Rows) (c contexts.Chunk, err error) {
	var id sql.RawBytes
	err = rows.Scan(&id, &c.Pack, &c.Offset, &c.Stored, &c.Size)
	copy(c.ID[:], id)
	return c, err
}

// Add records a durable pack and the chunks in it.
func (t *tenant) Add(ctx context.Context, pack contexts.Pack, chunks []contexts.Chunk) error {
	return t.db.Durably(ctx, func(tx *sql.Tx) error {
		tenant, row, err := t.addPack(ctx, tx, pack)
		if err != nil {
			return err
		}
		if err := insert(ctx, tx, tenant, row, chunks, " ON CONFLICT DO NOTHING"); err != nil {
			return err
		}
		return count(ctx, tx, "id = ?", row)
	})
}

// addPack records a pack, which may be known, and returns the rows of the tenant
// and of the pack.
func (t *tenant) addPack(ctx context.Context, tx *sql.Tx, pack contexts.Pack) (tenant, row int64, err error) {
	if _, err := tx.ExecContext(ctx, "INSERT INTO tenants (name, generation) VALUES (?, 0) ON CONFLICT DO NOTHING", t.name); err != nil {
		return 0, 0, err
	}
	if tenant, _, err = t.row(ctx, tx); err != nil {
		return 0, 0, err
	}
	err = tx.QueryRowContext(ctx, "INSERT INTO packs (tenant, name, size, used) VALUES (?, ?, ?, 0) "+
		" ON CONFLICT DO UPDATE SET size = excluded.size RETURNING id", tenant, pack.Name, pack.Size).Scan(&row)
	return tenant, row, err
}

// row returns the tenant's row and its generation; both are 0 while nothing is
// known of it.
func (t *tenant) row(ctx context.Context, tx *sql.Tx) (id, generation int64, err error) {
	err = tx.QueryRowContext(ctx, "SELECT id, generation FROM tenants WHERE name = ?", t.name).Scan(&id, &generation)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, 0, nil
	}
	return id, generation, err
}

// insert records where chunks are; conflict says what becomes of those that are
// known. They are sorted first: neighbours are in the same pages of the file.
func insert(ctx context.Context, tx *sql.Tx, tenant, pack int64, chunks []contexts.Chunk, conflict string) error {
	sorted := slices.SortedFunc(slices.Values(chunks), func(a, b contexts.Chunk) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for some := range slices.Chunk(sorted, batch) {
		query := "INSERT INTO chunks (tenant, pack, id, offset, stored, size, marked) VALUES " + strings.Repeat(",(?1,?2,?,?,?,?,0)", len(some))[1:] + conflict
		args := []any{tenant, pack}
		for i, c := range some {
			args = append(args, some[i].ID[:], c.Offset, c.Stored, c.Size)
		}
		if _, err := tx.ExecContext(ctx, query, args...); err != nil {
			return err
		}
	}
	return nil
}

// count brings up to date how much of some packs is chunks.
func count(ctx context.Context, tx *sql.Tx, where string, args ...any) error {
	_, err := tx.ExecContext(ctx, "UPDATE packs SET used = (SELECT coalesce(sum(stored), 0) FROM chunks WHERE pack = packs.id) WHERE "+where, args...)
	return err
}

// Packs lists the packs.
func (t *tenant) Packs(ctx context.Context) ([]contexts.Pack, error) {
	rows, err := t.db.Read.QueryContext(ctx, "SELECT name, size, used FROM packs WHERE tenant = (SELECT id FROM tenants WHERE name = ?) ORDER BY id", t.name)
	if err != nil {
		return nil, err
	}
	return scanPacks(rows)
}

func scanPacks(rows *sql.Rows) (packs []contexts.Pack, err error) {
	err = each(rows, func() error {
		var p contexts.Pack
		err := rows.Scan(&p.Name, &p.Size, &p.Used)
		packs = append(packs, p)
		return err
	})
	return packs, err
}

// Live starts a collection. Marks need not survive the loss of power: a
// collection that was cut short starts anew.
func (t *tenant) Live(ctx context.Context) error {
	return t.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE tenants SET generation = generation + 1 WHERE name = ?", t.name)
		return err
	})
}

// Mark records chunks that are needed.
func (t *tenant) Mark(ctx context.Context, ids []contexts.ID) error {
	return t.db.Tx(ctx, func(tx *sql.Tx) error {
		id, generation, err := t.row(ctx, tx)
		if err != nil {
			return err
		}
		for some := range slices.Chunk(ids, batch) {
			_, err := tx.ExecContext(ctx, "UPDATE chunks SET marked = ? WHERE tenant = ? AND id IN "+places(len(some)), append([]any{generation, id}, blobs(some)...)...)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Sweep forgets the chunks that are not marked and the packs that hold no other.
func (t *tenant) Sweep(ctx context.Context) (packs []contexts.Pack, err error) {
	err = t.db.Durably(ctx, func(tx *sql.Tx) error {
		id, generation, err := t.row(ctx, tx)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM chunks WHERE tenant = ? AND marked <> ?", id, generation); err != nil {
			return err
		}
		if err := count(ctx, tx, "tenant = ?", id); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM packs WHERE tenant = ? AND used = 0", id); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, "SELECT name, size, used FROM packs WHERE tenant = ? ORDER BY id", id)
		if err != nil {
			return err
		}
		packs, err = scanPacks(rows)
		return err
	})
	return packs, err
}

// Chunks lists the chunks that are in a pack.
func (t *tenant) Chunks(ctx context.Context, pack string) (chunks []contexts.Chunk, err error) {
	rows, err := t.db.Read.QueryContext(ctx, "SELECT c.id, p.name, c.offset, c.stored, c.size FROM packs p JOIN chunks c ON c.pack = p.id "+
		"WHERE p.tenant = (SELECT id FROM tenants WHERE name = ?) AND p.name = ? ORDER BY c.offset", t.name, pack)
	if err != nil {
		return nil, err
	}
	err = each(rows, func() error {
		c, err := scanChunk(rows)
		chunks = append(chunks, c)
		return err
	})
	return chunks, err
}

// Move records that chunks are in another, durable pack now, and forgets the old
// pack, in which none may be left.
func (t *tenant) Move(ctx context.Context, old string, pack contexts.Pack, chunks []contexts.Chunk) error {
	return t.db.Durably(ctx, func(tx *sql.Tx) error {
		tenant, row, err := t.addPack(ctx, tx, pack)
		if err != nil {
			return err
		}
		err = insert(ctx, tx, tenant, row, chunks, " ON CONFLICT DO UPDATE SET pack = excluded.pack, offset = excluded.offset, stored = excluded.stored")
		if err != nil {
			return err
		}
		if err := forgetPack(ctx, tx, tenant, old); err != nil {
			return err
		}
		return count(ctx, tx, "id = ?", row)
	})
}

// forgetPack forgets a pack that has no chunks any more.
func forgetPack(ctx context.Context, tx *sql.Tx, tenant int64, name string) error {
	var left int
	err := tx.QueryRowContext(ctx, "SELECT count(*) FROM packs p JOIN chunks c ON c.pack = p.id WHERE p.tenant = ? AND p.name = ?", tenant, name).Scan(&left)
	if err != nil {
		return err
	}
	if left > 0 {
		return agentbay.Errorf(agentbay.Internal, "%d chunks of pack %s were not moved", left, name)
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM packs WHERE tenant = ? AND name = ?", tenant, name)
	return err
}
