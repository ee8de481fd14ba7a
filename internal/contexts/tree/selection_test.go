package tree_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts/tree"
)

func TestKey(t *testing.T) {
	for path, want := range map[string]string{
		"/tmp//data/":         "tmp/data",
		"tmp/data":            "tmp/data",
		"/":                   "",
		"":                    "",
		"/a/./b":              "a/b",
		`c:\Users\x`:          "C:/Users/x",
		"C:/Users/x/":         "C:/Users/x",
		`/c:\Users\\x`:        "C:/Users/x",
		"d:":                  "D:",
		`/tmp/back\slash`:     `tmp/back\slash`,
		"/tmp/c:/x":           "tmp/c:/x",
		"/home/wuying/下载/a b": "home/wuying/下载/a b",
	} {
		got, err := tree.Key(path)
		if got != want || err != nil {
			t.Errorf("Key(%q) is %q, %v; want %q", path, got, err, want)
		}
	}
	for _, path := range []string{"/a/../b", "..", `C:\..\x`, "/a\x00", "/" + strings.Repeat("a", 256), strings.Repeat("/a", 2049)} {
		if got, err := tree.Key(path); !errors.Is(err, agentbay.Invalid) {
			t.Errorf("Key(%.20q...) is %q, %v; want Invalid", path, got, err)
		}
	}
}

func TestShow(t *testing.T) {
	for key, want := range map[string]string{"tmp/a": "/tmp/a", "": "/", "C:/Users/x": `C:\Users\x`, "C:": `C:\`} {
		if got := tree.Show(key); got != want {
			t.Errorf("Show(%q) is %q, want %q", key, got, want)
		}
	}
}

func FuzzKey(f *testing.F) {
	f.Add("/tmp//data/")
	f.Add(`c:\Users\x`)
	f.Fuzz(func(t *testing.T, path string) {
		key, err := tree.Key(path)
		if err != nil {
			return
		}
		if again, err := tree.Key(tree.Show(key)); again != key || err != nil && len(tree.Show(key)) <= 4095 {
			t.Errorf("Key(%q) is %q, which is shown as %q, of which the key is %q, %v", path, key, tree.Show(key), again, err)
		}
		for part := range strings.SplitSeq(key, "/") {
			if key != "" && (part == "" || part == "." || part == ".." || len(part) > 255 || strings.Contains(part, "\x00")) {
				t.Errorf("Key(%q) is %q, which has the part %q", path, key, part)
			}
		}
	})
}

// policy is a mount at path with one white list.
func policy(path, white string, exclude ...string) agentbay.ContextMount {
	return agentbay.ContextMount{Path: path, Policy: agentbay.SyncPolicy{WhiteList: []agentbay.WhiteList{{Path: white, Exclude: exclude}}}}
}

// recycled is a mount of /tmp/data with a recycle policy.
func recycled(days int, paths ...string) agentbay.ContextMount {
	return agentbay.ContextMount{Path: "/tmp/data", Policy: agentbay.SyncPolicy{Recycle: agentbay.RecyclePolicy{Days: days, Paths: paths}}}
}

func TestAPolicyThatWouldSilentlyDoNothingIsRefused(t *testing.T) {
	for _, tc := range []struct {
		m     agentbay.ContextMount
		names string // what the message must have
	}{
		{policy("/tmp/data", "*.txt"), `"*.txt"`},
		{policy("/tmp/data", "a?"), `"a?"`},
		{policy("/tmp/data", "a[0]"), `"a[0]"`},
		{policy("/tmp/data", "a", "b/*"), `"b/*"`},
		{policy("/tmp/data", "/tmp/data/sub"), `"/tmp/data/sub"`},
		{policy("/tmp/data", "/tmp/data"), `"/tmp/data"`},
		{policy("/tmp/data/", "", "/tmp/data/sub"), `"/tmp/data/sub"`},
		{policy(`C:\Users\x`, `c:\Users\x\Downloads`), `"c:\\Users\\x\\Downloads"`},
		{policy("/tmp/data", "C:/Users"), `"C:/Users"`},
		{policy("/tmp/data", "../other"), `"../other"`},
		{policy("/tmp/data", "a", ""), `""`},
		{policy("/tmp/data", "a\x00"), `"a\x00"`},
		{policy("/tmp/data", strings.Repeat("a/", 3000)), "a/a/a"},
		{policy("data", ""), `"data"`},
		{policy("/", ""), `"/"`},
		{policy("", ""), `""`},
		{policy("/tmp/../etc", ""), `"/tmp/../etc"`},
		{agentbay.ContextMount{Path: "/a", Policy: agentbay.SyncPolicy{Mapping: "b"}}, `"b"`},
		{recycled(7), "7"},
		{recycled(-1), "-1"},
		{recycled(1, "a", "b/*.log"), `"b/*.log"`},
		{recycled(1, "/tmp/data/b"), `"/tmp/data/b"`},
		{agentbay.ContextMount{Path: "/a", Policy: agentbay.SyncPolicy{WhiteList: make([]agentbay.WhiteList, 5000)}}, "1000"},
	} {
		_, err := tree.Select(tc.m)
		if !errors.Is(err, agentbay.Invalid) || !strings.Contains(agentbay.MessageOf(err), tc.names) {
			t.Errorf("mount %.100q with %.200v: %v, want Invalid with %s", tc.m.Path, tc.m.Policy, err, tc.names)
		}
	}
}

func TestMatch(t *testing.T) {
	browser := agentbay.ContextMount{Path: "/tmp/b", Policy: agentbay.SyncPolicy{WhiteList: []agentbay.WhiteList{
		{Path: "/Local State"}, {Path: "/Default/Cookies", Exclude: []string{"/no", "yes/no/"}}, {Path: "Default/Cookies/no/but"},
	}}}
	for _, tc := range []struct {
		m          agentbay.ContextMount
		rel        string
		in, within bool
	}{
		{agentbay.ContextMount{Path: "/a"}, "any/thing", true, true},
		{policy("/a", ""), "any", true, true},
		{policy("/a", "", "x"), "", true, true},
		{policy("/a", "", "x"), "x", false, false},
		{policy("/a", "", "x"), "xy", true, true},
		{browser, "", false, true},
		{browser, "Local State", true, true},
		{browser, "Local State 2", false, false},
		{browser, "Default", false, true},
		{browser, "Default/Cookies/a", true, true},
		{browser, "Default/Cookies/no", false, true},
		{browser, "Default/Cookies/no/x", false, false},
		{browser, "Default/Cookies/no/but/x", true, true},
		{browser, "Default/Cookies/yes/no/x", false, false},
		{policy("/tmp/data", "tmp/data/x"), "tmp/data/x", true, true},
		{policy(`C:\x`, `a\b`), "a/b", true, true},
		{policy("/x", `a\b`), "a/b", false, false},
	} {
		s, err := tree.Select(tc.m)
		must(t, err)
		if in, within := s.Match(tc.rel); in != tc.in || within != tc.within {
			t.Errorf("Match(%q) of %v is %v, %v; want %v, %v", tc.rel, tc.m.Policy.WhiteList, in, within, tc.in, tc.within)
		}
	}
}

func TestAMappedMountHasTheOtherPathsFiles(t *testing.T) {
	s, err := tree.Select(agentbay.ContextMount{Path: "/home/wuying/下载", Policy: agentbay.SyncPolicy{Mapping: `c:\Users\Administrator\Downloads\`}})
	must(t, err)
	if s.Prefix() != "C:/Users/Administrator/Downloads" {
		t.Errorf("the prefix is %q, want the mapped path", s.Prefix())
	}
	if rel, ok := s.Rel("C:/Users/Administrator/Downloads/a/b"); rel != "a/b" || !ok {
		t.Errorf("Rel is %q, %v; want a/b", rel, ok)
	}
	if _, ok := s.Rel("C:/Users/Administrator/Downloads2"); ok {
		t.Error("Rel finds what is beside the prefix")
	}
}

// A selection never moves what is outside the mount, and what it moves it
// reaches.
func FuzzSelect(f *testing.F) {
	f.Add("/tmp/data", "a/b", "c", "a/b/d")
	f.Add(`C:\x`, `\a`, "", "")
	f.Fuzz(func(t *testing.T, path, white, exclude, rel string) {
		s, err := tree.Select(policy(path, white, exclude))
		if err != nil {
			if !errors.Is(err, agentbay.Invalid) {
				t.Errorf("Select: %v, want Invalid", err)
			}
			return
		}
		rel, err = tree.Key(rel)
		if err != nil {
			return
		}
		in, within := s.Match(rel)
		if in && !within {
			t.Errorf("%q is selected, and nothing below it can be", rel)
		}
		for dir := rel; in && strings.Contains(dir, "/"); {
			dir = dir[:strings.LastIndexByte(dir, '/')]
			if _, within := s.Match(dir); !within {
				t.Errorf("%q is selected, and nothing below %q can be", rel, dir)
			}
		}
		if got, ok := s.Rel(s.Key(rel)); ok && got != rel {
			t.Errorf("Rel(Key(%q)) is %q", rel, got)
		}
	})
}
