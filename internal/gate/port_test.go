package gate

import "testing"

func TestPortPathIsTakenApartAgain(t *testing.T) {
	token := PortToken("tok-secret", 30100)
	path := PortPath("session-a", 30100, token)
	for _, rest := range []string{"", "x", "x/y//z", "tok-other/"} {
		session, port, got, prefix, ok := CutPortPath(path + rest)
		if !ok || session != "session-a" || port != 30100 || got != token || prefix+"/" != path {
			t.Errorf("%s: %q %d %q %q %v", rest, session, port, got, prefix, ok)
		}
	}
	for _, path := range []string{"", "/", "/port/", "/port/s", "/port/s/30100", "/port/s/0/t/", "/port/s/99999/t", "/port//1/t", "/port/s/1//", "/link/s/1/t"} {
		if _, _, _, _, ok := CutPortPath(path); ok {
			t.Errorf("%q is taken for a link to a port", path)
		}
	}
}

func TestPortTokenOpensOnePort(t *testing.T) {
	if PortToken("tok-a", 1) == PortToken("tok-a", 2) || PortToken("tok-a", 1) == PortToken("tok-b", 1) {
		t.Error("two ports or two sessions have one token")
	}
}

func FuzzCutPortPath(f *testing.F) {
	f.Add("/port/session-a/30100/tok-x/path")
	f.Add("/port/s/030/tok//")
	f.Fuzz(func(t *testing.T, path string) {
		if session, port, token, prefix, ok := CutPortPath(path); ok && PortPath(session, port, token) != prefix+"/" {
			t.Errorf("%q: %q", path, prefix)
		}
	})
}
