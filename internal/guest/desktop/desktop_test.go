package desktop

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// A paper screen writes down what is done to it.
type paper struct {
	Screen // what is not written down is not called
	done   []string
}

func (*paper) Size() (int, int) { return 640, 480 }

func (p *paper) Click(_ context.Context, at tool.Point, b Button, times int) error {
	p.done = append(p.done, "click "+itoa(at.X)+","+itoa(at.Y)+" "+itoa(int(b))+" ×"+itoa(times))
	return nil
}

func (p *paper) Type(_ context.Context, text string) error {
	p.done = append(p.done, "type "+text)
	return nil
}

func (p *paper) Press(_ context.Context, keys []Key, hold bool) error {
	line := "press"
	for _, k := range keys {
		line += " " + string(k)
	}
	if hold {
		line += " and hold"
	}
	p.done = append(p.done, line)
	return nil
}

func (p *paper) Active(context.Context) (tool.Window, error)    { return tool.Window{}, nil }
func (p *paper) Windows(context.Context) ([]tool.Window, error) { return nil, nil }

// call performs a tool of a desktop.
func call(t *testing.T, d *Desktop, name, args string) (text string, failed bool) {
	t.Helper()
	m := &guest.Mux{Token: "x"}
	d.Register(m)
	r := httptest.NewRequest(http.MethodPost, "/call/"+name, strings.NewReader(args))
	r.Header.Set("Authorization", "Bearer x")
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	b, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), w.Code != http.StatusOK || w.Header().Get(guest.FailedHeader) == "true"
}

func TestWhatIsAskedIsDone(t *testing.T) {
	for _, tc := range []struct{ tool, args, does string }{
		{"click_mouse", `{"x":1,"y":2}`, "click 1,2 1 ×1"},
		{"click_mouse", `{"x":639,"y":479,"button":"Right"}`, "click 639,479 3 ×1"},
		{"click_mouse", `{"x":0,"y":0,"button":"double_left"}`, "click 0,0 1 ×2"},
		{"input_text", `{"text":"a\r\nb\tc\r好🎉"}`, "type a\nb\tc\n好🎉"},
		{"press_keys", `{"keys":["Ctrl","A"]}`, "press ctrl a"},
		{"press_keys", `{"keys":["CONTROL_L","Shift_L","Page_Up"],"hold":true}`, "press ctrl shift pageup and hold"},
		{"press_keys", `{"keys":["ctrl+shift+t"]}`, "press ctrl shift t"},
		{"press_keys", `{"keys":["Ctrl++"]}`, "press ctrl +"},
		{"press_keys", `{"keys":["+"]}`, "press +"},
		{"press_keys", `{"keys":["F12","Enter","ж"]}`, "press f12 return ж"},
	} {
		p := new(paper)
		d := &Desktop{Screen: func() (Screen, error) { return p, nil }}
		if text, failed := call(t, d, tc.tool, tc.args); failed || !slices.Equal(p.done, []string{tc.does}) {
			t.Errorf("%s %s: %q %q, want %q", tc.tool, tc.args, p.done, text, tc.does)
		}
	}
}

func TestWhatCannotBeIsRefused(t *testing.T) {
	for _, tc := range []struct{ tool, args, says string }{
		{"click_mouse", `{"x":-1,"y":2}`, "not on the screen"},
		{"click_mouse", `{"x":640,"y":2}`, "x must be from 0 to 639"},
		{"click_mouse", `{"x":1,"y":2,"button":"double_right_"}`, "no mouse button"},
		{"drag_mouse", `{"from_x":1,"from_y":2,"to_x":3,"to_y":999}`, "y from 0 to 479"},
		{"scroll", `{"x":1,"y":2,"direction":"in"}`, "no direction"},
		{"scroll", `{"x":1,"y":2,"amount":-2}`, "amount is -2"},
		{"input_text", `{"text":"\u0007"}`, "U+0007 at byte 0"},
		{"input_text", `{"text":"` + strings.Repeat("x", maxText+1) + `"}`, "write a file instead"},
		{"press_keys", `{"keys":[]}`, "keys is empty"},
		{"press_keys", `{"keys":["` + strings.Repeat(`a","`, 20) + `b"]}`, "too many"},
		{"press_keys", `{"keys":["Frobnicate"]}`, "no key \"Frobnicate\""},
		{"press_keys", `{"keys":["\u0001"]}`, "no key"},
		{"get_active_window", `{}`, "no window is active"},
		{"resize_window", `{"window_id":1,"width":0,"height":1}`, "no size"},
		{"screenshot", `{"format":"bmp"}`, "use png or jpeg"},
		{"click_mouse", `{"x":1}`, "y is missing"},
	} {
		p := new(paper)
		d := &Desktop{Screen: func() (Screen, error) { return p, nil }}
		if text, failed := call(t, d, tc.tool, tc.args); !failed || !strings.Contains(text, tc.says) || p.done != nil {
			t.Errorf("%s %.60s: %q %q, want a failure with %q", tc.tool, tc.args, p.done, text, tc.says)
		}
	}
}

func TestADesktopThatIsGoneSaysSo(t *testing.T) {
	d := &Desktop{Screen: func() (Screen, error) { return nil, errors.New("it is being started again") }}
	for _, x := range tool.Of(tool.Desktop) {
		args := map[string]any{"x": 1, "y": 1, "from_x": 1, "from_y": 1, "to_x": 1, "to_y": 1, "text": "x", "keys": []string{"a"},
			"window_id": 1, "width": 9, "height": 9, "on": true, "start_cmd": "true"}
		b, err := json.Marshal(args)
		if err != nil {
			t.Fatal(err)
		}
		switch x.Name {
		case "system_screenshot", "get_installed_apps", "stop_app_by_pname", "stop_app_by_pid", "stop_app_by_cmd":
			continue // the host's, or done without a screen
		}
		if text, failed := call(t, d, x.Name, string(b)); !failed || !strings.Contains(text, "started again") {
			t.Errorf("%s: %q, want why there is no screen", x.Name, text)
		}
	}
}

func TestNoWindowsAreAnEmptyList(t *testing.T) {
	d := &Desktop{Screen: func() (Screen, error) { return new(paper), nil }}
	for _, name := range []string{"list_root_windows", "list_visible_apps"} {
		if text, failed := call(t, d, name, "{}"); failed || text != "[]" {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// installed makes a desktop with some applications.
func installed(t *testing.T, entries map[string]string) *Desktop {
	home := t.TempDir()
	for name, text := range entries {
		file := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &Desktop{Dir: home, Env: []string{"HOME=" + home, "XDG_DATA_DIRS=" + home + "/share"}}
}

const menu = "share/applications/"

func TestApplicationsAreListedByTheirEntries(t *testing.T) {
	d := installed(t, map[string]string{
		menu + "b.desktop":                         "[Desktop Entry]\nType=Application\nName=Writer\nName[de]=Schreiber\nExec=writer %U\nPath=/srv\n[Desktop Action new]\nName=New\nExec=writer --new",
		menu + "a.desktop":                         "[Desktop Entry]\nType=Application\nName=Calc\nExec=calc\n",
		menu + "settings.desktop":                  "[Desktop Entry]\nType=Application\nName=Screen\nExec=screen-settings\nCategories=Settings;GTK;\n",
		menu + "terminal.desktop":                  "[Desktop Entry]\nType=Application\nName=Term\nExec=term\nCategories=System;TerminalEmulator;\n",
		menu + "top.desktop":                       "[Desktop Entry]\nType=Application\nName=Top\nExec=top\nTerminal=true\n",
		menu + "hidden.desktop":                    "[Desktop Entry]\nType=Application\nName=Hidden\nExec=hidden\nNoDisplay=true\n",
		menu + "missing.desktop":                   "[Desktop Entry]\nType=Application\nName=Missing\nExec=missing\nTryExec=/no/such/program\n",
		menu + "link.desktop":                      "[Desktop Entry]\nType=Link\nName=Link\nURL=x\n",
		menu + "broken.desktop":                    "\x00\xff not an entry",
		menu + "masked.desktop":                    "[Desktop Entry]\nType=Application\nName=Masked\nExec=masked\n",
		".local/share/applications/masked.desktop": "[Desktop Entry]\nType=Application\nName=Masked\nExec=masked\nHidden=true\n",
		"Desktop/shortcut.desktop":                 "[Desktop Entry]\nType=Application\nName=Shortcut\nExec=shortcut\n",
	})
	names := func(args string) string {
		text, failed := call(t, d, "get_installed_apps", args)
		var apps []tool.App
		if err := json.Unmarshal([]byte(text), &apps); failed || err != nil {
			t.Fatalf("%s: %q, %v", args, text, err)
		}
		var all []string
		for _, a := range apps {
			all = append(all, a.Name+"="+a.StartCmd)
		}
		return strings.Join(all, ";")
	}
	for args, want := range map[string]string{
		`{}`:                                  "Calc=calc;Term=term;Top=x-terminal-emulator -e top;Writer=writer %U",
		`{"ignore_system_app":false}`:         "Calc=calc;Screen=screen-settings;Term=term;Top=x-terminal-emulator -e top;Writer=writer %U",
		`{"start_menu":false}`:                "",
		`{"start_menu":false,"desktop":true}`: "Shortcut=shortcut",
	} {
		if got := names(args); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
	for line, want := range map[string]string{
		"writer": "writer", "calc": "calc", "masked": "masked", "Term": "term", "b.desktop": "writer",
		"x %U --y=%% %i": "x --y=%", "date +%s": "date +%s",
	} {
		if got, _ := d.commandOf(line); got != want {
			t.Errorf("%q starts %q, want %q", line, got, want)
		}
	}
}

func FuzzReadEntry(f *testing.F) {
	f.Add("[Desktop Entry]\nType=Application\nName=x\nExec=y %U\n")
	f.Add("[Desktop Entry]\n=\n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		if e, ok := readEntry(strings.NewReader(text)); ok && (e.name == "" || e.exec == "") {
			t.Errorf("%q: %+v", text, e)
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	for _, s := range []string{"Ctrl", "ctrl+a", "++", "+++", "é", "\xff", "F24"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		keys, err := parseKeys([]string{name})
		if err == nil && (len(keys) == 0 || slices.Contains(keys, "")) {
			t.Errorf("%q: %q", name, keys)
		}
	})
}
