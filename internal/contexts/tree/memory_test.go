package tree

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/agentbay/agentbay/internal/contexts"
)

// written is the memory of some memos, as a file.
func written(t testing.TB, all ...memo) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "memory"))
	if err != nil {
		t.Fatal(err)
	}
	w := newMemoWriter(file)
	for _, m := range all {
		w.add(m)
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	return file.Name()
}

func read(t testing.TB, path string) (all []memo) {
	t.Helper()
	for m, err := range memos(path) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

var someMemos = []memo{
	{rel: "a", flags: memoWhiteout},
	{rel: "dir", flags: memoOpaque | memoPut, inode: 5, changed: -3, seen: 1 << 60, Entry: contexts.Entry{
		Kind: contexts.Dir, Mode: 0o755 | os.ModeSticky, Modified: time.Unix(-5, 7).UTC(), Saved: time.Unix(1e9, 1).UTC(),
	}},
	{rel: "dir/\xff\n", Entry: contexts.Entry{
		Kind: contexts.File, Mode: 0o644, Modified: time.Unix(0, 0).UTC(), Saved: time.Unix(0, 0).UTC(), Size: 1 << 50, Outside: true, Packed: true,
		Extents: []contexts.Extent{{Size: 1 << 49}, {Chunk: contexts.ID{1, 2, 3}, Size: 1 << 49}},
	}},
	{rel: "dir/link", Entry: contexts.Entry{Kind: contexts.Symlink, Target: "../x", Modified: time.Unix(1, 1).UTC(), Saved: time.Unix(1, 1).UTC()}},
}

func TestAMemoryIsReadAsItWasWritten(t *testing.T) {
	got := read(t, written(t, someMemos...))
	got[0].Modified, got[0].Saved = time.Time{}, time.Time{}
	if !reflect.DeepEqual(got, someMemos) {
		t.Errorf("read %+v, want %+v", got, someMemos)
	}
}

func TestADamagedMemoryIsNone(t *testing.T) {
	whole, err := os.ReadFile(written(t, someMemos...))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "memory")
	for n := range whole {
		for _, b := range [][]byte{whole[:n], append(bytes.Clone(whole[:n]), append([]byte{whole[n] ^ 1}, whole[n+1:]...)...)} {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if all := read(t, path); len(all) > 0 {
				t.Fatalf("a memory that is damaged at byte %d has %d memos, want none", n, len(all))
			}
		}
	}
	if all := read(t, filepath.Join(t.TempDir(), "none")); len(all) > 0 {
		t.Errorf("a memory that is not there has %d memos", len(all))
	}
}

func FuzzMemory(f *testing.F) {
	for _, m := range someMemos {
		f.Add(m.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMemo(b)
		if err != nil {
			return
		}
		again, err := parseMemo(m.append(nil))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%+v is written and read as %+v, %v", m, again, err)
		}
	})
}
