package store

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/agentbay/agentbay"
)

// defaultLimit is a page's length when the query does not say, maxLimit what it
// is cut to.
const (
	defaultLimit = 10
	maxLimit     = 1000
)

// Sessions lists a key's sessions, newest first.
//
// Invalid: the query's token was not made here.
func (s *Store) Sessions(ctx context.Context, keyID string, q agentbay.SessionQuery) (*agentbay.SessionPage, error) {
	offset, err := readToken(q.Token)
	if err != nil {
		return nil, err
	}
	where, args := filter(keyID, q)
	page := new(agentbay.SessionPage)
	if err := s.db.Read.QueryRowContext(ctx, "SELECT count(*) FROM sessions WHERE "+where, args...).Scan(&page.Total); err != nil {
		return nil, err
	}
	rows, err := s.db.Read.QueryContext(ctx, "SELECT "+sessionColumns+" FROM sessions WHERE "+where+
		" ORDER BY created_at DESC, seq DESC LIMIT ? OFFSET ?", append(args, pageLimit(q.Limit), offset)...)
	if err != nil {
		return nil, err
	}
	page.Sessions, err = collect(rows, scanInfo)
	if end := offset + int64(len(page.Sessions)); len(page.Sessions) > 0 && end < int64(page.Total) {
		page.Next = token(end)
	}
	return page, err
}

func scanInfo(r row) (agentbay.SessionInfo, error) {
	x, err := scanSession(r)
	return x.SessionInfo, err
}

// filter is the condition that selects the sessions of a query.
func filter(keyID string, q agentbay.SessionQuery) (where string, args []any) {
	var b strings.Builder
	b.WriteString("key_id = ?")
	args = []any{keyID}
	if q.State != agentbay.Finished {
		b.WriteString(" AND state <> 'FINISH'") // spelled out, as the index of open sessions is
	}
	if q.State != "" {
		b.WriteString(" AND state = ?")
		args = append(args, q.State)
	}
	for _, key := range slices.Sorted(maps.Keys(q.Labels)) {
		b.WriteString(" AND EXISTS (SELECT 1 FROM labels WHERE session_id = sessions.id AND key = ? AND value = ?)")
		args = append(args, key, q.Labels[key])
	}
	return b.String(), args
}

func pageLimit(n int) int {
	if n <= 0 {
		return defaultLimit
	}
	return min(n, maxLimit)
}

// A token is where a page ended, whatever the query was: clients walk to a page
// with one filter and read it with another.
func token(offset int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte("after:" + strconv.FormatInt(offset, 10)))
}

func readToken(t string) (int64, error) {
	if t == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(t)
	digits, ok := strings.CutPrefix(string(b), "after:")
	if err != nil || !ok {
		return 0, errToken
	}
	offset, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || offset < 0 || token(offset) != t {
		return 0, errToken
	}
	return offset, nil
}

var errToken = agentbay.Errorf(agentbay.Invalid, "the page token is not one of this bay's; start from the first page without a token")
