package tool

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite catalogue.golden")

// The catalogue is a text file, so that a changed tool is a changed line in review.
func TestCatalogue(t *testing.T) {
	var b strings.Builder
	for _, tool := range All() {
		var marks string
		if tool.Streams {
			marks += " streams"
		}
		if tool.Acts {
			marks += " acts"
		}
		fmt.Fprintf(&b, "%-7s %-20s (%s)%s\n", tool.Family, tool.Name, arguments(t, tool), marks)
	}
	if *update {
		if err := os.WriteFile("catalogue.golden", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("catalogue.golden")
	if err != nil || b.String() != string(want) {
		t.Errorf("the catalogue has changed (%v); read the difference and run go test ./tool -update:\n%s", err, &b)
	}
}

// arguments prints a tool's arguments as "path string, length? integer".
func arguments(t *testing.T, tool Tool) string {
	var s schema
	if err := json.Unmarshal(tool.Input, &s); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		mark := "?"
		if slices.Contains(s.Required, name) {
			mark = ""
		}
		list = append(list, name+mark+" "+s.Properties[name].Type)
	}
	return strings.Join(list, ", ")
}

func TestStringsTakesEveryFormThatIsSent(t *testing.T) {
	for in, want := range map[string]Strings{
		`["a","b,c"]`: {"a", "b,c"},
		`"a, b"`:      {"a", "b"},
		`""`:          nil,
		`null`:        nil,
	} {
		var got Strings
		if err := json.Unmarshal([]byte(in), &got); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v, want %q", in, got, err, want)
		}
	}
	var got Strings
	if err := json.Unmarshal([]byte(`5`), &got); err == nil {
		t.Errorf("5: %q, want an error", got)
	}
}

func TestDecodeIgnoresWhatItDoesNotKnow(t *testing.T) {
	in, err := RunShell.Decode([]byte(`{"command":"true","timeout_ms":5,"new":{}}`))
	if err != nil || in.Command != "true" || in.TimeoutMS != 5 {
		t.Errorf("%+v, %v", in, err)
	}
	if _, err := RunShell.Decode([]byte(`{"command":5}`)); err == nil || !strings.Contains(err.Error(), "shell") {
		t.Errorf("a number for a string: %v, want an error that names the tool", err)
	}
	if _, err := Metrics.Decode(nil); err != nil {
		t.Errorf("no arguments: %v", err)
	}
}

func TestDecodeWantsWhatIsRequired(t *testing.T) {
	for args, word := range map[string]string{`{}`: "command", ``: "command", `{"timeout_ms":1}`: "command", `null`: "command"} {
		if _, err := RunShell.Decode([]byte(args)); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("shell with %q: %v, want an error about %s", args, err, word)
		}
	}
	for _, args := range []string{`{"path":"/x","content":""}`, `{"Path":"/x","content":""}`} {
		if _, err := WriteFile.Decode([]byte(args)); err != nil {
			t.Errorf("write_file with %s: %v, want none: an empty value is there", args, err)
		}
	}
}

func TestResultIsBounded(t *testing.T) {
	reply := func() *Reply { return &Reply{Body: io.NopCloser(strings.NewReader("12345"))} }
	if r, err := reply().Result(5); err != nil || r.Text != "12345" {
		t.Errorf("5 of 5 bytes: %+v, %v", r, err)
	}
	if _, err := reply().Result(4); err != ErrTooLong {
		t.Errorf("5 of 4 bytes: %v, want ErrTooLong", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{}`, ``, `{"path":"/a","excludePatterns":"a,b"}`, `{"path":"/a","excludePatterns":[1]}`, `[`, `null`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, args []byte) {
		SearchFiles.Decode(args)
		RunShell.Decode(args)
		EditFile.Decode(args)
	})
}
