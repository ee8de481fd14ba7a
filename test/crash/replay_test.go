package crash

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/test/live"
)

// counting is a page that counts aloud.
const counting = "data:text/html,<title>counting</title><script>let n = 0; setInterval(() => console.log(n++), 20)</script>"

func TestAReplayLosesNothingWhenTheServerIsKilled(t *testing.T) {
	b := live.New(t, "--warm", "code_latest=0,linux_latest=0")
	yes := true
	s, err := b.Client.Create(t.Context(), agentbay.SessionSpec{Image: "browser_latest", Replay: &yes})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Browser().Navigate(t.Context(), counting); err != nil {
		t.Fatal(err)
	}
	recorded := func() agentbay.Recording {
		all, err := s.Recordings(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("recordings: %+v, %v", all, err)
		}
		return all[0]
	}
	grows := func(what string) {
		t.Helper()
		had := recorded().Bytes
		await(t, what, func() bool { return recorded().Bytes > had+2000 })
	}
	grows("the replay begins")
	for range 3 {
		b.Kill()
		b.Start()
		grows("the replay goes on after the server was killed")
	}
	if err := s.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "the replay has ended", func() bool { return !recorded().EndedAt.IsZero() })
	answer, err := http.Get(recorded().DataURL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if n := counted(t, answer.Body); n < 50 {
		t.Errorf("only %d numbers were recorded", n)
	}
}

// counted is how far a page has counted in a replay. Each number is there once, in
// order.
func counted(t *testing.T, replay io.Reader) (n int) {
	t.Helper()
	lines := bufio.NewScanner(replay)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct{ Kind, Text string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		if line.Kind != "console" {
			continue
		}
		var has int
		if err := json.Unmarshal([]byte(line.Text), &has); err != nil || has != n {
			t.Fatalf("after %d numbers comes %q", n, line.Text)
		}
		n++
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}
