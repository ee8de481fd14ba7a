package gate

import "testing"

func TestViewPathIsTakenApartAgain(t *testing.T) {
	path := ViewPath("session-a", "tok-x")
	for _, part := range []string{"", "screen", "novnc/core/rfb.js", "//"} {
		session, token, got, ok := CutViewPath(path + part)
		if !ok || session != "session-a" || token != "tok-x" || got != part {
			t.Errorf("%s: %q %q %q %v", path+part, session, token, got, ok)
		}
	}
	for _, path := range []string{"", "/view", "/view/", "/view/s", "/view/s/t", "/view//t/", "/view/s//x", "/port/s/t/"} {
		if _, _, _, ok := CutViewPath(path); ok {
			t.Errorf("%q is taken for a page", path)
		}
	}
}

func TestViewTokensAreDifferent(t *testing.T) {
	seen := map[string]bool{}
	for _, token := range []string{
		ViewToken("tok-a", 0, true), ViewToken("tok-a", 0, false), ViewToken("tok-a", 1, true), ViewToken("tok-b", 0, true), PortToken("tok-a", 1),
	} {
		if seen[token] {
			t.Errorf("%s is two tokens", token)
		}
		seen[token] = true
	}
}

func FuzzCutViewPath(f *testing.F) {
	f.Add("/view/session-a/tok-x/screen")
	f.Add("/view///")
	f.Fuzz(func(t *testing.T, path string) {
		if session, token, part, ok := CutViewPath(path); ok && ViewPath(session, token)+part != path {
			t.Errorf("%q: %q %q %q", path, session, token, part)
		}
	})
}
