package fingerprint_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/agentbay/agentbay/internal/guest/fingerprint"
	"github.com/agentbay/agentbay/tool"
)

func TestARandomFingerprintIsAsWished(t *testing.T) {
	for system, want := range map[string]string{
		"windows": "Windows NT 10.0", "macos": "Macintosh", "linux": "X11; Linux", "android": "Android", "ios": "iPhone",
	} {
		for range 20 {
			f, err := fingerprint.Random(tool.FingerprintWish{Systems: []string{system}, Locales: []string{"zh-CN"}}, "131", 3000, 2000)
			if err != nil {
				t.Fatal(err)
			}
			n := f.Navigator
			if !strings.Contains(n.UserAgent, want) || !strings.Contains(n.UserAgent, "/131.0.0.0") || !slices.Equal(n.Languages, []string{"zh-CN", "zh"}) {
				t.Errorf("%s: %+v", system, n)
			}
			phone := system == "android" || system == "ios"
			if f.Mobile() != phone || !phone && (f.Screen.Width < 3000 || f.Screen.Height < 2000) || f.VideoCard.Renderer == "" || n.Platform == "" {
				t.Errorf("%s: %+v", system, f)
			}
			b, err := f.Document()
			if err != nil {
				t.Fatal(err)
			}
			if again, err := fingerprint.Parse(b); err != nil || again.Script() != f.Script() {
				t.Errorf("%s: written and read again it is another: %v", system, err)
			}
		}
	}
	for range 50 {
		if f, err := fingerprint.Random(tool.FingerprintWish{}, "131", 0, 0); err != nil || f.Mobile() {
			t.Errorf("without a wish: %+v, %v", f, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"fingerprint": {"navigator": {"userAgent": "A/1", "languages": ["en"], "deviceMemory": null}, "screen": {"width": 5}}, "headers": {}}`)
	f.Add(`{"fingerprint": {"navigator": {"userAgent": "</script>\u2028"}}}`)
	f.Fuzz(func(t *testing.T, document string) {
		p, err := fingerprint.Parse([]byte(document))
		if err != nil {
			return
		}
		n := p.Navigator
		if n.UserAgent == "" || strings.ContainsAny(n.UserAgent+n.Platform, "\r\n") {
			t.Errorf("%q is taken", document)
		}
		_, args, ok := strings.Cut(p.Script(), "\n})(")
		if !ok || !json.Valid([]byte(strings.TrimSuffix(args, ")"))) {
			t.Errorf("%q makes a script that ends in %q", document, args)
		}
	})
}
