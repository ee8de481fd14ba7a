package acceptance

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentbay/agentbay"
)

// newContext makes a context that ends with the test.
func newContext(t *testing.T, c *agentbay.Client) agentbay.ContextID {
	t.Helper()
	x, err := c.CreateContext(t.Context(), "acceptance-"+rand.Text())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.DeleteContext(context.WithoutCancel(t.Context()), x.ID); err != nil {
			t.Errorf("delete context: %v", err)
		}
	})
	return x.ID
}

// with makes a session that mounts contexts. It ends with the test, if not before.
func with(t *testing.T, c *agentbay.Client, image string, mounts ...agentbay.ContextMount) *agentbay.Session {
	t.Helper()
	s, err := c.Create(t.Context(), agentbay.SessionSpec{Image: image, Contexts: mounts})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Delete(context.WithoutCancel(t.Context())) })
	return s
}

func at(id agentbay.ContextID, path string) agentbay.ContextMount {
	return agentbay.ContextMount{Context: id, Path: path, Policy: agentbay.DefaultSyncPolicy}
}

// sh runs a command that must succeed, and returns what it prints.
func sh(t *testing.T, s *agentbay.Session, line string) string {
	t.Helper()
	out, err := s.Command(line).CombinedOutput(t.Context())
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	return strings.TrimRight(string(out), "\n")
}

func end(t *testing.T, s *agentbay.Session) {
	t.Helper()
	if err := s.Delete(t.Context()); err != nil {
		t.Fatalf("delete: %v", err)
	}
}

// What a session leaves in a context, the next one finds as it was.
func TestContextKeepsFilesAsTheyWere(t *testing.T) {
	for _, image := range []string{"linux_latest", "code_latest"} {
		t.Run(image, func(t *testing.T) {
			c := client(t)
			x := newContext(t, c)
			one := with(t, c, image, at(x, "/tmp/kept"))
			sh(t, one, `cd /tmp/kept
				mkdir -p empty deep/er 'odd names'; echo plain > plain; echo run > deep/er/tool; chmod 750 deep/er/tool; chmod 700 deep
				ln -s plain link; ln -s /etc/passwd outside; ln -s nowhere dangling
				touch -d '2001-02-03 04:05:06.789' deep/er/old; : > none
				printf x > 'odd names/new
line'; printf y > 'odd names/雪 *?"'; printf z > "$(printf 'odd names/\377bytes')"
				truncate -s 1G holes; printf end >> holes; head -c 3000000 /dev/urandom > random; sha256sum random | cut -c1-64 > sum
				mkfifo pipe`)
			look := `cd /tmp/kept; find . ! -name pipe ! -name . -printf '%P %y %m %s %l %T@\n' | sort | sha256sum; cat deep/er/tool; tail -c 3 holes; sha256sum random | cut -c1-64 | cmp - sum && echo same`
			before := sh(t, one, look)
			end(t, one)
			two := with(t, c, image, at(x, "/tmp/kept"))
			if after := sh(t, two, look); after != before || !strings.HasSuffix(after, "run\nendsame") {
				t.Errorf("before:\n%s\nafter:\n%s\n%s", before, after, sh(t, two, "cd /tmp/kept; ls -laR"))
			}
			sh(t, two, `cd /tmp/kept; rm -r deep plain; mkdir deep; echo new > deep/new; echo more >> sum`)
			end(t, two)
			three := with(t, c, image, at(x, "/tmp/kept"))
			if got := sh(t, three, `cd /tmp/kept; ls deep; test -e plain || echo gone; tail -n1 sum`); got != "new\ngone\nmore" {
				t.Errorf("after changes: %q", got)
			}
		})
	}
}

// The directory that a session works in can be a context, and what the image has
// there stays.
func TestContextCoversTheWorkingDirectory(t *testing.T) {
	for image, dir := range map[string]string{"linux_latest": "/home/wuying", "code_latest": "/workspace"} {
		t.Run(image, func(t *testing.T) {
			c := client(t)
			x := newContext(t, c)
			one := with(t, c, image, at(x, dir))
			before := sh(t, one, "ls -A | sort; pwd")
			sh(t, one, "echo here > relative.txt")
			if image == "code_latest" {
				_, err := one.RunCode(t.Context(), "python", "open('code.txt', 'w').write('code'); import os; os.getcwd()")
				if err != nil {
					t.Fatalf("run code: %v", err)
				}
			}
			end(t, one)
			two := with(t, c, image, at(x, dir))
			if got := sh(t, two, "cat "+dir+"/relative.txt"); got != "here" {
				t.Errorf("a file that was written by a relative name: %q", got)
			}
			if image == "code_latest" && sh(t, two, "cat code.txt") != "code" {
				t.Error("what code wrote by a relative name is not there")
			}
			if !strings.HasSuffix(before, dir) {
				t.Errorf("the working directory is %q", before)
			}
		})
	}
}

func TestFilesTravelToAnyPath(t *testing.T) {
	c, dir := client(t), t.TempDir()
	s := with(t, c, "linux_latest")
	for name, size := range map[string]int{"empty": 0, "byte": 1, "odd": 1<<20 + 17, "large": 64 << 20} {
		t.Run(name, func(t *testing.T) {
			want := make([]byte, size)
			rand.Read(want)
			local, back := filepath.Join(dir, name), filepath.Join(dir, name+".back")
			if err := os.WriteFile(local, want, 0o600); err != nil {
				t.Fatal(err)
			}
			remote := "/home/wuying/new dir/雪 " + name
			var last int64
			progress := agentbay.OnProgress(func(done, total int64) {
				if done < last || done > total || total != int64(size) {
					t.Errorf("progress: %d after %d, of %d", done, last, total)
				}
				last = done
			})
			if err := s.UploadFile(t.Context(), local, remote, progress); err != nil {
				t.Fatalf("upload: %v", err)
			}
			if last != int64(size) {
				t.Errorf("progress ended at %d of %d", last, size)
			}
			if err := s.DownloadFile(t.Context(), remote, back); err != nil {
				t.Fatalf("download: %v", err)
			}
			if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes came back of %d, %v", len(got), size, err)
			}
		})
	}
	if err := s.UploadFile(t.Context(), filepath.Join(dir, "byte"), "/etc/forbidden"); err == nil || !strings.Contains(err.Error(), "Permission denied") {
		t.Errorf("to where the session's user may not write: %v", err)
	}
	if err := s.DownloadFile(t.Context(), "/no/such/file", filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there came")
	}
}

// An archive that came from outside is unpacked; one that a session wrote is a file.
func TestArchivesFromOutsideAreUnpacked(t *testing.T) {
	c := client(t)
	x := newContext(t, c)
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	for name, text := range map[string]string{"manifest.json": "{}", "src/a.js": "a", "../escape": "no"} {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.PutContextFile(t.Context(), x, "/tmp/ext/one.zip", bytes.NewReader(archive.Bytes())); err != nil {
		t.Fatal(err)
	}
	s := with(t, c, "linux_latest", at(x, "/tmp/ext"))
	if got := sh(t, s, "cd /tmp/ext; find . -type f | sort; ls /tmp/escape 2>/dev/null; true"); !strings.Contains(got, "manifest.json") || strings.Contains(got, "one.zip") || strings.Contains(got, "escape") {
		t.Errorf("the session sees %q", got)
	}
	sh(t, s, "cd /tmp/ext && printf 'PK not really' > own.zip")
	end(t, s)
	two := with(t, c, "linux_latest", at(x, "/tmp/ext"))
	if got := sh(t, two, "cat /tmp/ext/own.zip; find /tmp/ext -name manifest.json | wc -l"); got != "PK not really1" {
		t.Errorf("the next session sees %q", got)
	}
}

func TestArchiveModeKeepsTheTree(t *testing.T) {
	c := client(t)
	x := newContext(t, c)
	m := at(x, "/tmp/packed")
	m.Policy.Archive = true
	one := with(t, c, "linux_latest", m)
	sh(t, one, "cd /tmp/packed; mkdir -p a/b; echo deep > a/b/c; ln -s a/b link; chmod 600 a/b/c")
	end(t, one)
	page, err := c.ContextFiles(t.Context(), x, "/tmp/packed", 0, 0)
	if err != nil || page.Total != 1 || !strings.HasSuffix(page.Files[0].Name, ".tar.gz") {
		t.Errorf("the context has %+v, %v; want one archive", page, err)
	}
	two := with(t, c, "linux_latest", m)
	if got := sh(t, two, "cd /tmp/packed; cat link/c; stat -c %a a/b/c"); got != "deep\n600" {
		t.Errorf("the next session sees %q", got)
	}
}

// Files saved below a path of Windows are seen at another path, and back.
func TestMappedContextIsSeenElsewhere(t *testing.T) {
	c := client(t)
	x := newContext(t, c)
	if err := c.PutContextFile(t.Context(), x, `c:\Users\Administrator\Downloads\report.txt`, strings.NewReader("from windows")); err != nil {
		t.Fatal(err)
	}
	m := at(x, "/home/wuying/下载")
	m.Policy.Mapping = `C:\Users\Administrator\Downloads`
	s := with(t, c, "linux_latest", m)
	if got := sh(t, s, "cat /home/wuying/下载/report.txt; echo linux > /home/wuying/下载/answer.txt"); got != "from windows" {
		t.Errorf("the session reads %q", got)
	}
	end(t, s)
	var got bytes.Buffer
	if err := c.GetContextFile(t.Context(), x, "C:/Users/Administrator/Downloads/answer.txt", &got); err != nil || got.String() != "linux\n" {
		t.Errorf("on the other side: %q, %v", got.String(), err)
	}
}

// What a session deletes is deleted, unless its policy says otherwise.
func TestDeletionsFollowThePolicy(t *testing.T) {
	for _, keep := range []bool{false, true} {
		c := client(t)
		x := newContext(t, c)
		m := at(x, "/tmp/data")
		m.Policy.KeepDeleted = keep
		one := with(t, c, "linux_latest", m)
		sh(t, one, "cd /tmp/data; echo 1 > a; mkdir d; echo 2 > d/b")
		end(t, one)
		two := with(t, c, "linux_latest", m)
		sh(t, two, "rm -r /tmp/data/a /tmp/data/d")
		end(t, two)
		three := with(t, c, "linux_latest", m)
		want := ""
		if keep {
			want = "/tmp/data/a\n/tmp/data/d/b"
		}
		if got := sh(t, three, "find /tmp/data -type f | sort"); got != want {
			t.Errorf("kept deleted files: %t; the next session sees %q", keep, got)
		}
	}
}

// A context of many small files and one with a large file are kept whole.
func TestContextsOfAnySize(t *testing.T) {
	c := client(t)
	x := newContext(t, c)
	one := with(t, c, "code_latest", at(x, "/tmp/many"))
	sum := `python3 - <<'EOF'
import os, hashlib
h, n = hashlib.sha256(), 0
for d, ds, fs in os.walk("/tmp/many"):
    ds.sort()
    for f in sorted(fs):
        n += 1; h.update(f.encode()); h.update(open(os.path.join(d, f), "rb").read())
print(n, h.hexdigest())
EOF`
	sh(t, one, `python3 - <<'EOF'
import os
for i in range(5000):
    d = "/tmp/many/%02d" % (i % 50)
    os.makedirs(d, exist_ok=True)
    open(d + "/%d" % i, "w").write("file %d" % i)
with open("/tmp/many/large", "wb") as f:
    for i in range(200): f.write(os.urandom(1 << 20))
EOF`)
	before := sh(t, one, sum)
	end(t, one)
	two := with(t, c, "code_latest", at(x, "/tmp/many"))
	if after := sh(t, two, sum); after != before || !strings.HasPrefix(after, "5001 ") {
		t.Errorf("before %s, after %s", before, after)
	}
}
