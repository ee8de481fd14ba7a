package fingerprint_test

import (
	"encoding/json"
	"reflect"
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
			f, err := fingerprint.Random(tool.FingerprintWish{Systems: []string{system}, Locales: []string{"zh-CN"}}, 3000, 2000)
			if err != nil {
				t.Fatal(err)
			}
			f.Become("131.0.6778.85")
			n := f.Navigator
			if !strings.Contains(n.UserAgent, want) || !strings.Contains(n.UserAgent, "/131.0.0.0 ") || f.Zone() != "Asia/Shanghai" || !slices.Equal(n.Languages, []string{"zh-CN", "zh"}) {
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
			if again, err := fingerprint.Parse(b); err != nil || !reflect.DeepEqual(again, f) {
				t.Errorf("%s: written and read again it is another: %v", system, err)
			}
		}
	}
	for range 50 {
		if f, err := fingerprint.Random(tool.FingerprintWish{}, 0, 0); err != nil || f.Mobile() {
			t.Errorf("without a wish: %+v, %v", f, err)
		}
	}
}

// The names are those of real browsers, by their navigator.userAgentData.
func TestBrandsAreThoseOfChrome(t *testing.T) {
	for version, want := range map[string]string{
		"124.0.6367.60":  "Chromium 124, Google Chrome 124, Not-A.Brand 99",
		"131.0.6778.85":  "Google Chrome 131, Chromium 131, Not_A Brand 24",
		"156.0.8078.108": "Not:A-Brand 8, Chromium 156, Google Chrome 156",
	} {
		f, err := fingerprint.Random(tool.FingerprintWish{Systems: []string{"windows"}}, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.Become(version)
		var has []string
		for _, b := range f.Navigator.UserAgentData.Brands {
			has = append(has, b.Brand+" "+b.Version)
		}
		if got := strings.Join(has, ", "); got != want {
			t.Errorf("of %s: %s, want %s", version, got, want)
		}
		if got := f.Navigator.UserAgentData.Version(); got != version {
			t.Errorf("it says that it is of %s, want %s", got, version)
		}
		if f.Become("1.0.0.0"); !strings.Contains(f.Navigator.UserAgent, "/"+version[:3]) {
			t.Errorf("it has become another: %s", f.Navigator.UserAgent)
		}
	}
}

func TestAFingerprintThatHasAVersionKeepsIt(t *testing.T) {
	for _, agent := range []string{"Mozilla/5.0 Chrome/120.0.0.0 Safari/537.36", "Raw/1"} {
		f, err := fingerprint.Parse([]byte(`{"fingerprint": {"navigator": {"userAgent": "` + agent + `", "userAgentData": {"brands": [{"brand": "Mine", "version": "1"}]}}}}`))
		if err != nil {
			t.Fatal(err)
		}
		f.Become("156.0.8078.108")
		if n := f.Navigator; n.UserAgent != agent || n.UserAgentData.Brands[0].Brand != "Mine" {
			t.Errorf("%s has become %+v", agent, n)
		}
	}
}

func TestZonesAreThoseThatThereAre(t *testing.T) {
	f := &fingerprint.Fingerprint{}
	for language, want := range map[string]string{"": "America/New_York", "pt-BR": "America/Sao_Paulo", "zh-Hant-TW": "Asia/Taipei", "de-AT": "Europe/Vienna", "ar": "", "en-ZZ": "", "en": ""} {
		if f.Navigator.Languages = nil; language != "" {
			f.Navigator.Languages = []string{language}
		}
		if got := f.Zone(); got != want {
			t.Errorf("of %q: %q, want %q", language, got, want)
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
		if !ok || !json.Valid([]byte("["+strings.TrimSuffix(args, ")")+"]")) {
			t.Errorf("%q makes a script that ends in %q", document, args)
		}
	})
}
