package files

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// session is a line to a guest with files.
func session(t testing.TB) *guest.Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m, f := &guest.Mux{Token: "secret"}, new(Files)
	f.Register(m)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- m.Serve(ctx, l) }()
	c := &guest.Client{Token: "secret", Dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}}
	t.Cleanup(func() {
		c.CloseIdle()
		stop()
		<-served
		f.Close()
	})
	return c
}

// start calls a tool.
func start[In, Out any](t testing.TB, c *guest.Client, d tool.Def[In, Out], in In) *tool.Reply {
	t.Helper()
	call, err := d.Call(in)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := c.Call(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// do calls a tool to its end.
func do[In, Out any](t testing.TB, c *guest.Client, d tool.Def[In, Out], in In) tool.Result {
	t.Helper()
	r, err := start(t, c, d, in).Result(1 << 30)
	if err != nil {
		t.Fatalf("%s: %v", d.Name, err)
	}
	return r
}

// works calls a tool that must not fail, and returns its text.
func works[In, Out any](t testing.TB, c *guest.Client, d tool.Def[In, Out], in In) string {
	t.Helper()
	r := do(t, c, d, in)
	if r.Failed {
		t.Fatalf("%s: %s", d.Name, r.Text)
	}
	return r.Text
}

// put makes a file.
func put(t testing.TB, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// is compares what a file holds.
func is(t testing.TB, path, want string) {
	t.Helper()
	if b, err := os.ReadFile(path); err != nil || string(b) != want {
		t.Errorf("%s holds %d bytes %.60q, %v; want %d bytes %.60q", filepath.Base(path), len(b), b, err, len(want), want)
	}
}

// sizes are those that must come back byte for byte, in a short test the smaller.
func sizes() []int {
	if testing.Short() {
		return []int{0, 1, 63 << 10, 1 << 20}
	}
	return []int{0, 1, 63 << 10, 10 << 20, 100 << 20}
}

// noise is n bytes of everything.
func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

// prose is n bytes of text with characters of every length.
func prose(n int) string {
	s := strings.Repeat("aé日😀\n\x00\"\\", n/14+1)[:n]
	return strings.ToValidUTF8(s, "..")[:n]
}

func TestBytesComeBackAsTheyWereWritten(t *testing.T) {
	c := session(t)
	path := filepath.Join(t.TempDir(), "new", "dir", "file")
	for _, n := range sizes() {
		content := noise(n)
		works(t, c, tool.WriteFile, tool.WriteFileIn{Path: path, Content: base64.StdEncoding.EncodeToString(content), Format: "binary"})
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, content) {
			t.Fatalf("%d bytes were written as %d, %v", n, len(b), err)
		}
		reply := start(t, c, tool.ReadFile, tool.ReadFileIn{Path: path, Format: "binary"})
		got, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, reply.Body))
		reply.Body.Close()
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes were read as %d, %v", n, len(got), err)
		}
	}
}

func TestTextComesBackAsItWasWritten(t *testing.T) {
	c := session(t)
	path := filepath.Join(t.TempDir(), "file")
	for _, n := range sizes() {
		content := prose(n)
		works(t, c, tool.WriteFile, tool.WriteFileIn{Path: path, Content: content})
		is(t, path, content)
		if got := works(t, c, tool.ReadFile, tool.ReadFileIn{Path: path}); got != content {
			t.Errorf("%d bytes were read as %d", n, len(got))
		}
	}
}

func TestWindowsThatMeetJoin(t *testing.T) {
	c := session(t)
	path := filepath.Join(t.TempDir(), "file")
	for name, content := range map[string]string{
		"text":      prose(1000),
		"not UTF-8": string(noise(1000)),
		"mixed":     prose(300) + "\xf0\x9f\x98" + prose(300) + "\xe6\x97\xff\x80\x80\x80",
	} {
		put(t, path, content)
		for _, length := range []int{1, 2, 3, 5, 64, 999, 5000} {
			var text, binary strings.Builder
			for at := 0; at < len(content); at += length {
				in := tool.ReadFileIn{Path: path, Offset: int64(at), Length: int64(length)}
				text.WriteString(works(t, c, tool.ReadFile, in))
				in.Format = "binary"
				b, err := base64.StdEncoding.DecodeString(works(t, c, tool.ReadFile, in))
				if err != nil {
					t.Fatal(err)
				}
				binary.Write(b)
			}
			if text.String() != string([]rune(content)) || binary.String() != content {
				t.Errorf("%s: windows of %d bytes do not join", name, length)
			}
		}
	}
	past := tool.ReadFileIn{Path: path, Offset: 1 << 62, Length: 1 << 62}
	if got := works(t, c, tool.ReadFile, past); got != "" {
		t.Errorf("past the end is %q", got)
	}
}

func FuzzWindowsThatMeetJoin(f *testing.F) {
	f.Add([]byte("aé日😀"), uint8(3))
	f.Add([]byte("\xf0\x9f\x98\x80\x80\xe6\x97"), uint8(2))
	f.Fuzz(func(t *testing.T, content []byte, at uint8) {
		cut := characterAt(bytes.NewReader(content), int64(at))
		if int(at) > len(content) {
			return
		}
		joined := append([]rune(string(content[:cut])), []rune(string(content[cut:]))...)
		if string(joined) != string([]rune(string(content))) || cut < int64(at) || cut >= int64(at)+utf8.UTFMax {
			t.Errorf("%q is cut for %d at %d", content, at, cut)
		}
	})
}

func TestWritingKeepsTheFile(t *testing.T) {
	c := session(t)
	dir := t.TempDir()
	path, link := put(t, filepath.Join(dir, "a"), "old"), filepath.Join(dir, "link")
	if err := os.Chmod(path, 0o751); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", link); err != nil {
		t.Fatal(err)
	}
	works(t, c, tool.WriteFile, tool.WriteFileIn{Path: link, Content: "new"})
	works(t, c, tool.WriteFile, tool.WriteFileIn{Path: link, Content: "er", Mode: "append"})
	is(t, path, "newer")
	works(t, c, tool.EditFile, tool.EditFileIn{Path: link, Edits: []tool.Edit{{OldText: "newer", NewText: "edited"}}})
	is(t, path, "edited")
	if info, err := os.Lstat(path); err != nil || info.Mode() != 0o751 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
	works(t, c, tool.WriteFile, tool.WriteFileIn{Path: filepath.Join(dir, "b"), Content: "x", Mode: "create_new"})
	if r := do(t, c, tool.WriteFile, tool.WriteFileIn{Path: filepath.Join(dir, "b"), Content: "y", Mode: "create_new"}); !r.Failed {
		t.Error("create_new replaced a file")
	}
}

func TestEditsApplyAllOrNone(t *testing.T) {
	c := session(t)
	path := filepath.Join(t.TempDir(), "f")
	for name, tc := range map[string]struct {
		edits []tool.Edit
		dry   bool
		want  string
		fails bool
	}{
		"first only": {edits: []tool.Edit{{OldText: "a", NewText: "X"}}, want: "Xba\xff"},
		"twice":      {edits: []tool.Edit{{OldText: "a", NewText: "X"}, {OldText: "a", NewText: "Y"}}, want: "XbY\xff"},
		"in order":   {edits: []tool.Edit{{OldText: "b", NewText: "c"}, {OldText: "c", NewText: ""}}, want: "aa\xff"},
		"absent":     {edits: []tool.Edit{{OldText: "a", NewText: "X"}, {OldText: "no", NewText: "Y"}}, want: "aba\xff", fails: true},
		"empty":      {edits: []tool.Edit{{NewText: "Y"}}, want: "aba\xff", fails: true},
		"dry run":    {edits: []tool.Edit{{OldText: "a", NewText: "X"}}, dry: true, want: "aba\xff"},
		"none":       {want: "aba\xff"},
	} {
		put(t, path, "aba\xff")
		r := do(t, c, tool.EditFile, tool.EditFileIn{Path: path, Edits: tc.edits, DryRun2: tc.dry})
		if r.Failed != tc.fails || r.Text == "" {
			t.Errorf("%s: failed %v: %s", name, r.Failed, r.Text)
		}
		is(t, path, tc.want)
	}
}

func TestFailuresSayWhichAndWhy(t *testing.T) {
	c := session(t)
	dir := t.TempDir()
	missing, empty, long := filepath.Join(dir, "no"), filepath.Join(dir, "empty"), filepath.Join(dir, strings.Repeat("x", 5000))
	put(t, empty, "")
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		got  tool.Result
		want string
	}{
		"read missing":      {do(t, c, tool.ReadFile, tool.ReadFileIn{Path: missing}), "No such file or directory"},
		"read directory":    {do(t, c, tool.ReadFile, tool.ReadFileIn{Path: dir}), "Is a directory"},
		"read pipe":         {do(t, c, tool.ReadFile, tool.ReadFileIn{Path: pipe}), "Not a regular file"},
		"read device":       {do(t, c, tool.ReadFile, tool.ReadFileIn{Path: "/dev/zero"}), "Not a regular file"},
		"read relative":     {do(t, c, tool.ReadFile, tool.ReadFileIn{Path: "etc/passwd"}), `"etc/passwd" is not an absolute path`},
		"read empty path":   {do(t, c, tool.ReadFile, tool.ReadFileIn{}), "the path is empty"},
		"read NUL":          {do(t, c, tool.ReadFile, tool.ReadFileIn{Path: "/a\x00b"}), "NUL"},
		"read long":         {do(t, c, tool.ReadFile, tool.ReadFileIn{Path: long}), "File name too long"},
		"read backwards":    {do(t, c, tool.ReadFile, tool.ReadFileIn{Path: empty, Offset: -1}), "negative"},
		"read format":       {do(t, c, tool.ReadFile, tool.ReadFileIn{Path: empty, Format: "x"}), "text or binary"},
		"read none":         {do(t, c, tool.ReadFiles, tool.ReadFilesIn{Paths: []string{missing}}), "No such file or directory"},
		"read nothing":      {do(t, c, tool.ReadFiles, tool.ReadFilesIn{}), "paths is empty"},
		"write below file":  {do(t, c, tool.WriteFile, tool.WriteFileIn{Path: empty + "/x"}), "Not a directory"},
		"write directory":   {do(t, c, tool.WriteFile, tool.WriteFileIn{Path: dir}), "Is a directory"},
		"write pipe":        {do(t, c, tool.WriteFile, tool.WriteFileIn{Path: pipe}), "No such device or address"},
		"write mode":        {do(t, c, tool.WriteFile, tool.WriteFileIn{Path: empty, Mode: "x"}), "create_new"},
		"write no base64":   {do(t, c, tool.WriteFile, tool.WriteFileIn{Path: missing, Content: "!", Format: "binary"}), "not base64"},
		"write no parent":   {do(t, c, tool.WriteFile, tool.WriteFileIn{Path: missing + "/x", CreateParents: new(bool)}), "No such file or directory"},
		"write full":        {do(t, c, tool.WriteFile, tool.WriteFileIn{Path: "/dev/full", Content: "x", Mode: "append"}), "No space left on device"},
		"edit missing":      {do(t, c, tool.EditFile, tool.EditFileIn{Path: missing}), "No such file or directory"},
		"info missing":      {do(t, c, tool.FileInfo, tool.PathIn{Path: missing}), "No such file or directory"},
		"list missing":      {do(t, c, tool.ListDirectory, tool.PathIn{Path: missing}), "No such file or directory"},
		"list file":         {do(t, c, tool.ListDirectory, tool.PathIn{Path: empty}), "Not a directory"},
		"delete missing":    {do(t, c, tool.DeleteFile, tool.PathIn{Path: missing}), "No such file or directory"},
		"delete root":       {do(t, c, tool.DeleteFile, tool.PathIn{Path: "/.."}), "root of the file system"},
		"make over file":    {do(t, c, tool.CreateDirectory, tool.PathIn{Path: empty}), "Not a directory"},
		"move missing":      {do(t, c, tool.MoveFile, tool.MoveFileIn{Source: missing, Destination: empty}), "No such file or directory"},
		"move below itself": {do(t, c, tool.MoveFile, tool.MoveFileIn{Source: dir, Destination: dir + "/x"}), "Invalid argument"},
		"search missing":    {do(t, c, tool.SearchFiles, tool.SearchFilesIn{Path: missing, Pattern: "*"}), "No such file or directory"},
		"search file":       {do(t, c, tool.SearchFiles, tool.SearchFilesIn{Path: empty, Pattern: "*"}), "Not a directory"},
		"watch missing":     {do(t, c, tool.FileChange, tool.PathIn{Path: missing}), "No such file or directory"},
		"watch file":        {do(t, c, tool.FileChange, tool.PathIn{Path: empty}), "Not a directory"},
	} {
		if !tc.got.Failed || !strings.HasPrefix(tc.got.Text, "Execution failed. Error code:-") || !strings.Contains(tc.got.Text, tc.want) {
			t.Errorf("%s: failed %v: %q; want %q", name, tc.got.Failed, tc.got.Text, tc.want)
		}
		if len(tc.got.Text) > 1000 {
			t.Errorf("%s: %d bytes of reasons", name, len(tc.got.Text))
		}
	}
	if _, err := os.Lstat(missing); err == nil {
		t.Error("content that is not base64 made a file")
	}
}

func TestDirectoriesAreMadeMovedListedAndDeleted(t *testing.T) {
	c := session(t)
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b")
	works(t, c, tool.CreateDirectory, tool.PathIn{Path: deep})
	works(t, c, tool.CreateDirectory, tool.PathIn{Path: deep})
	if got := works(t, c, tool.ListDirectory, tool.PathIn{Path: deep}); strings.Contains(got, "] ") || got == "" {
		t.Errorf("empty directory is %q", got)
	}
	put(t, filepath.Join(deep, "file"), "x")
	put(t, filepath.Join(deep, "new\nline"), "x")
	if err := os.Symlink(dir, filepath.Join(deep, "link")); err != nil {
		t.Fatal(err)
	}
	if got, want := works(t, c, tool.ListDirectory, tool.PathIn{Path: deep}), "[FILE] file\n[DIR] link\n[FILE] new\\nline"; got != want {
		t.Errorf("list %q, want %q", got, want)
	}
	works(t, c, tool.MoveFile, tool.MoveFileIn{Source: filepath.Join(dir, "a"), Destination: filepath.Join(dir, "c")})
	is(t, filepath.Join(dir, "c", "b", "file"), "x")
	put(t, filepath.Join(dir, "d"), "old")
	works(t, c, tool.MoveFile, tool.MoveFileIn{Source: filepath.Join(dir, "c", "b", "file"), Destination: filepath.Join(dir, "d")})
	is(t, filepath.Join(dir, "d"), "x")
	works(t, c, tool.DeleteFile, tool.PathIn{Path: filepath.Join(dir, "c")})
	if _, err := os.Lstat(filepath.Join(dir, "c")); err == nil {
		t.Error("deleted directory is there")
	}
}

func TestFilesMoveBetweenFileSystems(t *testing.T) {
	c := session(t)
	other, err := os.MkdirTemp("/dev/shm", "files")
	if err != nil {
		t.Skip("there is no second file system here: ", err)
	}
	defer os.RemoveAll(other)
	from := filepath.Join(t.TempDir(), "d")
	put(t, filepath.Join(from, "f"), "x")
	works(t, c, tool.MoveFile, tool.MoveFileIn{Source: from, Destination: filepath.Join(other, "e")})
	is(t, filepath.Join(other, "e", "f"), "x")
	if _, err := os.Lstat(from); err == nil {
		t.Error("what was moved is still there")
	}
}

func TestInfoHasEveryLineThatClientsRead(t *testing.T) {
	c := session(t)
	path := put(t, filepath.Join(t.TempDir(), "f"), "12345")
	lines := map[string]string{}
	for line := range strings.SplitSeq(works(t, c, tool.FileInfo, tool.PathIn{Path: path}), "\n") {
		key, value, ok := strings.Cut(line, ": ")
		if !ok || value == "" {
			t.Errorf("line %q", line)
		}
		lines[key] = value
	}
	for key, want := range map[string]string{"name": "f", "path": path, "size": "5", "isDirectory": "false", "isFile": "true", "permissions": "644", "mode": "-rw-r--r--"} {
		if lines[key] != want {
			t.Errorf("%s is %q, want %q", key, lines[key], want)
		}
	}
	for _, key := range []string{"created", "modified", "accessed", "modTime", "owner", "group"} {
		if lines[key] == "" {
			t.Errorf("no %s", key)
		}
	}
	if info := works(t, c, tool.FileInfo, tool.PathIn{Path: filepath.Dir(path)}); !strings.Contains(info, "isDirectory: true") {
		t.Errorf("of a directory: %q", info)
	}
}

func TestSeveralFilesAreReadAtOnce(t *testing.T) {
	c := session(t)
	dir := t.TempDir()
	a, b, missing := put(t, filepath.Join(dir, "a"), "1\n2"), put(t, filepath.Join(dir, "b"), "\xff"), filepath.Join(dir, "c")
	got := works(t, c, tool.ReadFiles, tool.ReadFilesIn{Paths: []string{a, missing, b}})
	want := fmt.Sprintf("%s:\n1\n2\n---\n%s:\nExecution failed. Error code:-32602 Error message: cannot read %q: No such file or directory\n---\n%s:\n\uFFFD", a, missing, missing, b)
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSearchFindsNames(t *testing.T) {
	c := session(t)
	dir := t.TempDir()
	for _, p := range []string{"a.py", "B.PY", "src/b.py", "src/deep/c.py", "node_modules/x/d.py", "src/ab.txt"} {
		put(t, filepath.Join(dir, p), "")
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		root     string
		pattern  string
		excludes string // JSON
		want     []string
	}{
		"suffix":        {dir, "*.py", `null`, []string{"a.py", "node_modules/x/d.py", "src/b.py", "src/deep/c.py"}},
		"exclude":       {dir, "*.py", `["node_modules","deep"]`, []string{"a.py", "src/b.py"}},
		"exclude text":  {dir, "*.py", `"node_modules, deep"`, []string{"a.py", "src/b.py"}},
		"exclude path":  {dir, "*.py", `["**/node_modules/**","src/deep/*"]`, []string{"a.py", "src/b.py"}},
		"one character": {dir, "?.py", `[]`, []string{"a.py", "node_modules/x/d.py", "src/b.py", "src/deep/c.py"}},
		"whole name":    {dir, "b.py", `[]`, []string{"src/b.py"}},
		"directory":     {dir, "deep", `[]`, []string{"src/deep"}},
		"through link":  {link, "a.*", `[]`, []string{"a.py"}},
		"nothing":       {dir, "*.go", `[]`, nil},
		"no pattern":    {dir, "", `["src","node_modules"]`, []string{"B.PY", "a.py"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := fmt.Sprintf(`{"path":%q,"pattern":%q,"excludePatterns":%s,"exclude_patterns":null}`, tc.root, tc.pattern, tc.excludes)
			reply, err := c.Call(t.Context(), tool.Call{Name: "search_files", Args: json.RawMessage(args)})
			if err != nil {
				t.Fatal(err)
			}
			r, err := reply.Result(1 << 20)
			want := "No matches found"
			if tc.want != nil {
				want = tc.root + "/" + strings.Join(tc.want, "\n"+tc.root+"/")
			}
			if err != nil || r.Text != want {
				t.Errorf("found %q, want %q", r.Text, want)
			}
		})
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("*a?c*", "xxabc")
	f.Add("", "")
	f.Add("**", "日本")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern)+len(name) > 60 {
			return
		}
		if got, want := match(pattern, name), slowMatch([]rune(pattern), []rune(name)); got != want {
			t.Errorf("match(%q, %q) = %v", pattern, name, got)
		}
	})
}

// slowMatch is match as it would be defined.
func slowMatch(p, n []rune) bool {
	reach := make([]bool, len(n)+1) // reach[j]: the pattern so far matches n[:j]
	reach[0] = true
	for _, c := range p {
		next := make([]bool, len(n)+1)
		for j := range next {
			switch {
			case c == '*':
				next[j] = slices.Contains(reach[:j+1], true)
			case j > 0:
				next[j] = reach[j-1] && (c == '?' || c == n[j-1])
			}
		}
		reach = next
	}
	return reach[len(n)]
}

func BenchmarkReadFile100MB(b *testing.B) {
	c := session(b)
	path := put(b, filepath.Join(b.TempDir(), "f"), string(noise(100<<20)))
	b.SetBytes(100 << 20)
	for b.Loop() {
		reply := start(b, c, tool.ReadFile, tool.ReadFileIn{Path: path, Format: "binary"})
		io.Copy(io.Discard, reply.Body)
		reply.Body.Close()
	}
}
