// Package fingerprint is what a browser looks like to the sites it visits: what it
// calls itself, and what of its machine they can read.
//
// A fingerprint is read and written as public SDKs have it, and generators that
// look at real browsers make it. What is not in one stays as it is.
package fingerprint

import (
	crand "crypto/rand"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/agentbay/agentbay/tool"
)

// A Fingerprint is what is read of one. Zero values say nothing.
type Fingerprint struct {
	Screen    Screen    `json:"screen"`
	Navigator Navigator `json:"navigator"`
	VideoCard VideoCard `json:"videoCard"`
}

// A Screen is what sites can read of it, in CSS pixels.
type Screen struct {
	Width            int     `json:"width"`
	Height           int     `json:"height"`
	AvailWidth       int     `json:"availWidth"`
	AvailHeight      int     `json:"availHeight"`
	ColorDepth       int     `json:"colorDepth"`
	DevicePixelRatio float64 `json:"devicePixelRatio"`
}

// A Navigator is what a browser says of itself.
type Navigator struct {
	UserAgent           string         `json:"userAgent"`
	UserAgentData       *UserAgentData `json:"userAgentData,omitempty"`
	Platform            string         `json:"platform"`
	Languages           []string       `json:"languages"`
	HardwareConcurrency int            `json:"hardwareConcurrency"`
	DeviceMemory        float64        `json:"deviceMemory"`
	MaxTouchPoints      int            `json:"maxTouchPoints"`
}

// UserAgentData is the parts of a user agent (https://wicg.github.io/ua-client-hints).
type UserAgentData struct {
	Brands          []Brand `json:"brands"`
	FullVersionList []Brand `json:"fullVersionList"`
	Mobile          bool    `json:"mobile"`
	Platform        string  `json:"platform"`
	PlatformVersion string  `json:"platformVersion"`
	Architecture    string  `json:"architecture"`
	Bitness         string  `json:"bitness"`
	Model           string  `json:"model"`
}

// A Brand is a name of a browser, and its version.
type Brand struct {
	Brand   string `json:"brand"`
	Version string `json:"version"`
}

// A VideoCard is what WebGL says of it.
type VideoCard struct {
	Vendor   string `json:"vendor"`
	Renderer string `json:"renderer"`
}

// Mobile reports whether it is a phone's.
func (f *Fingerprint) Mobile() bool {
	return f.Navigator.UserAgentData != nil && f.Navigator.UserAgentData.Mobile || strings.Contains(f.Navigator.UserAgent, "Mobile")
}

// A document is a fingerprint as it is kept in files.
type document struct {
	Fingerprint Fingerprint `json:"fingerprint"`
}

// Bounds of what is read of a fingerprint.
const (
	MaxSize = 1 << 20 // bytes of JSON
	maxText = 1000    // bytes of one value
	maxSide = 20_000
)

// Parse reads a document. It need not say more than the user agent.
func Parse(b []byte) (*Fingerprint, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("a fingerprint has at most %d bytes", MaxSize)
	}
	var d document
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("the fingerprint is no JSON as expected: %w", err)
	}
	return &d.Fingerprint, d.Fingerprint.check()
}

// ParseBase64 reads a document that is encoded in base64.
func ParseBase64(s string) (*Fingerprint, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("the fingerprint is no base64: %w", err)
	}
	return Parse(b)
}

// Document writes one.
func (f *Fingerprint) Document() ([]byte, error) { return json.Marshal(document{*f}) }

func (f *Fingerprint) check() error {
	n := f.Navigator
	texts := append([]string{n.UserAgent, n.Platform, f.VideoCard.Vendor, f.VideoCard.Renderer}, n.Languages...)
	if d := n.UserAgentData; d != nil {
		texts = append(texts, d.Platform, d.PlatformVersion, d.Architecture, d.Bitness, d.Model)
		for _, b := range append(slices.Clone(d.Brands), d.FullVersionList...) {
			texts = append(texts, b.Brand, b.Version)
		}
	}
	for _, s := range texts {
		if len(s) > maxText || strings.ContainsAny(s, "\r\n\x00") {
			return errors.New("the fingerprint holds a text that is too long, or of several lines")
		}
	}
	for _, side := range []int{f.Screen.Width, f.Screen.Height, f.Screen.AvailWidth, f.Screen.AvailHeight} {
		if side < 0 || side > maxSide {
			return fmt.Errorf("the fingerprint has a screen with a side of %d pixels", side)
		}
	}
	if n.UserAgent == "" || len(texts) > 200 || f.Screen.DevicePixelRatio < 0 || f.Screen.DevicePixelRatio > 10 ||
		n.HardwareConcurrency < 0 || n.HardwareConcurrency > 1024 || n.DeviceMemory < 0 || n.DeviceMemory > 1024 || n.MaxTouchPoints < 0 || n.MaxTouchPoints > 100 {
		return errors.New("the fingerprint has no user agent, or says of the machine what none is")
	}
	return nil
}

// systems are what browsers run on, and whether that is a phone.
var systems = []struct {
	name   string
	mobile bool
}{{"windows", false}, {"macos", false}, {"linux", false}, {"android", true}, {"ios", true}}

// Random makes a fingerprint, with a screen at least as large as the real one, so
// that windows fit. Which version of a browser it is of, Become says.
func Random(w tool.FingerprintWish, width, height int) (*Fingerprint, error) {
	var fit []string
	for _, s := range systems {
		device := map[bool]string{false: "desktop", true: "mobile"}[s.mobile]
		byDevice := slices.Contains(w.Devices, device) || len(w.Devices) == 0 && (!s.mobile || len(w.Systems) > 0)
		if byDevice && (len(w.Systems) == 0 || slices.Contains(w.Systems, s.name)) {
			fit = append(fit, s.name)
		}
	}
	if len(fit) == 0 {
		return nil, fmt.Errorf("no fingerprint is of a device of %q with an operating system of %q; desktops have windows, macos or linux, mobiles android or ios", w.Devices, w.Systems)
	}
	f := makers[pick(fit)]()
	if !f.Mobile() {
		s := pick([]Screen{{Width: 1920, Height: 1080}, {Width: 2560, Height: 1440}, {Width: 1920, Height: 1200}})
		f.Screen = Screen{Width: max(s.Width, width), Height: max(s.Height, height), ColorDepth: 24, DevicePixelRatio: 1}
		f.Screen.AvailWidth, f.Screen.AvailHeight = f.Screen.Width, f.Screen.Height-40
		f.Navigator.HardwareConcurrency, f.Navigator.DeviceMemory = pick([]int{4, 8, 12, 16}), 8
	}
	f.Navigator.Languages = []string{"en-US", "en"}
	if len(w.Locales) > 0 {
		f.Navigator.Languages = languages(pick(w.Locales))
	}
	return f, f.check()
}

func pick[T any](list []T) T { return list[rand.IntN(len(list))] }

// languages is what a browser of a locale prefers: "zh-CN", and then "zh".
func languages(locale string) []string {
	if general, _, ok := strings.Cut(locale, "-"); ok {
		return []string{locale, general}
	}
	return []string{locale}
}

// makers make fingerprints of each system. Versions of systems are those that
// browsers admit to: user agents are frozen, by https://www.chromium.org/updates/ua-reduction.
var makers = map[string]func() *Fingerprint{
	"windows": func() *Fingerprint {
		return chrome("Windows NT 10.0; Win64; x64", "Win32", "Windows", pick([]string{"10.0.0", "15.0.0"}), "x86", pick([]VideoCard{
			{"Google Inc. (NVIDIA)", "ANGLE (NVIDIA, NVIDIA GeForce RTX 3060 (0x00002504) Direct3D11 vs_5_0 ps_5_0, D3D11)"},
			{"Google Inc. (Intel)", "ANGLE (Intel, Intel(R) UHD Graphics 630 (0x00003E92) Direct3D11 vs_5_0 ps_5_0, D3D11)"},
			{"Google Inc. (AMD)", "ANGLE (AMD, AMD Radeon(TM) Graphics (0x00001638) Direct3D11 vs_5_0 ps_5_0, D3D11)"},
		}))
	},
	"macos": func() *Fingerprint {
		return chrome("Macintosh; Intel Mac OS X 10_15_7", "MacIntel", "macOS", pick([]string{"14.6.1", "15.1.0"}), "arm", VideoCard{"Google Inc. (Apple)", pick([]string{
			"ANGLE (Apple, ANGLE Metal Renderer: Apple M1, Unspecified Version)", "ANGLE (Apple, ANGLE Metal Renderer: Apple M2, Unspecified Version)",
		})})
	},
	"linux": func() *Fingerprint {
		return chrome("X11; Linux x86_64", "Linux x86_64", "Linux", "6.5.0", "x86", VideoCard{"Google Inc. (Intel)", "ANGLE (Intel, Mesa Intel(R) UHD Graphics 620 (KBL GT2), OpenGL 4.6)"})
	},
	"android": func() *Fingerprint {
		model := pick([]string{"Pixel 7", "Pixel 8", "SM-S918B"})
		f := chrome("Linux; Android 10; K", "Linux armv81", "Android", "14.0.0", "", VideoCard{"Google Inc. (ARM)", "ANGLE (ARM, Mali-G710, OpenGL ES 3.2)"})
		f.Navigator.UserAgent = strings.Replace(f.Navigator.UserAgent, " Safari/", " Mobile Safari/", 1)
		d := f.Navigator.UserAgentData
		d.Mobile, d.Model, d.Bitness = true, model, ""
		return phone(f, Screen{Width: 412, Height: 915, DevicePixelRatio: 2.625})
	},
	"ios": func() *Fingerprint {
		return phone(&Fingerprint{
			Navigator: Navigator{Platform: "iPhone", UserAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS" + unversioned + " Mobile/15E148 Safari/604.1"},
			VideoCard: VideoCard{"Apple Inc.", "Apple GPU"},
		}, Screen{Width: 393, Height: 852, DevicePixelRatio: 3})
	},
}

// unversioned stands for the version of a browser until Become says it. The slash
// tells it from the end of 120.0.0.0.
const unversioned = "/0.0.0.0"

// chrome is Chrome on a machine with 64 bits.
func chrome(system, platform, name, version, architecture string, card VideoCard) *Fingerprint {
	return &Fingerprint{
		VideoCard: card,
		Navigator: Navigator{
			UserAgent:     "Mozilla/5.0 (" + system + ") AppleWebKit/537.36 (KHTML, like Gecko) Chrome" + unversioned + " Safari/537.36",
			Platform:      platform,
			UserAgentData: &UserAgentData{Platform: name, PlatformVersion: version, Architecture: architecture, Bitness: "64"},
		},
	}
}

// Become makes a random fingerprint one of Chrome of a version, such as
// "131.0.6778.85". Others have theirs.
func (f *Fingerprint) Become(version string) {
	n := &f.Navigator
	if !strings.Contains(n.UserAgent, unversioned) {
		return
	}
	major, _, _ := strings.Cut(version, ".")
	n.UserAgent = strings.Replace(n.UserAgent, unversioned, "/"+major+".0.0.0", 1)
	if d := n.UserAgentData; d != nil {
		d.Brands, d.FullVersionList = brands(major, major, ""), brands(major, version, ".0.0.0")
	}
}

// brands is what Chrome of a major version calls itself, with a name that makes no
// sense among them. Name and order go by the major version, as in GenerateBrandVersionList of
// https://source.chromium.org/chromium/chromium/src/+/main:components/embedder_support/user_agent_utils.cc.
func brands(major, version, zeros string) []Brand {
	seed, _ := strconv.Atoi(major)
	mark := func(i int) string {
		return []string{" ", "(", ":", "-", ".", "/", ")", ";", "=", "?", "_"}[(seed+i)%11]
	}
	senseless := Brand{"Not" + mark(0) + "A" + mark(1) + "Brand", []string{"8", "99", "24"}[seed%3] + zeros}
	order := [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}[seed%6]
	list := make([]Brand, 3)
	for i, b := range []Brand{senseless, {"Chromium", version}, {"Google Chrome", version}} {
		list[order[i]] = b
	}
	return list
}

// Version is that of the browser, such as "131.0.6778.85"; empty if it does not say.
func (d *UserAgentData) Version() string {
	for _, b := range d.FullVersionList {
		if b.Brand == "Chromium" {
			return b.Version
		}
	}
	return ""
}

// phone gives a fingerprint a phone's screen.
func phone(f *Fingerprint, s Screen) *Fingerprint {
	s.AvailWidth, s.AvailHeight, s.ColorDepth = s.Width, s.Height, 24
	f.Screen = s
	f.Navigator.HardwareConcurrency, f.Navigator.DeviceMemory, f.Navigator.MaxTouchPoints = 8, 8, 5
	return f
}

//go:embed script.js
var script string

// Script is run in each page and worker before any script of theirs. It has them
// read of the machine what the fingerprint says; what DevTools can set, they set.
func (f *Fingerprint) Script() string {
	b, err := json.Marshal(f)
	if err != nil {
		panic(err) // of a struct of strings and numbers
	}
	return fmt.Sprintf("(%s)(%s, %q)", strings.TrimSpace(script), b, crand.Text())
}
