package browser

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// headless is what makes Chromium run here, without a screen and as root.
var headless = []string{"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"}

// newBrowser is a browser of this machine.
func newBrowser(t *testing.T) *Browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed; scripts/setup --test installs it")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l.Close()
	tmp, err := os.MkdirTemp("", "") // a socket is put there, whose path has to be short
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(tmp) })
	b := &Browser{
		Program: program, Profile: filepath.Join(t.TempDir(), "profile"), Port: l.Addr().(*net.TCPAddr).Port,
		Env: append(os.Environ(), "TMPDIR="+tmp, "HOME="+tmp),
	}
	t.Cleanup(func() { b.stop(context.Background(), tool.None{}) })
	return b
}

// call calls a tool as the host does.
func call[In, Out any](t *testing.T, b *Browser, d tool.Def[In, Out], in In) (out Out, failure string) {
	t.Helper()
	m := &guest.Mux{Token: "x"}
	b.Register(m)
	srv := httptest.NewServer(m.Handler())
	defer srv.Close()
	c := &guest.Client{Token: "x", Dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", srv.Listener.Addr().String())
	}}
	defer c.CloseIdle()
	args, err := d.Call(in)
	must(t, err)
	reply, err := c.Call(t.Context(), args)
	if err != nil {
		return out, err.Error()
	}
	r, err := reply.Result(16 << 20)
	must(t, err)
	if r.Failed {
		return out, r.Text
	}
	if text, ok := any(&out).(*tool.Text); ok {
		*text = tool.Text(r.Text)
		return out, ""
	}
	must(t, json.Unmarshal([]byte(r.Text), &out))
	return out, ""
}

// dial asks the browser something by its DevTools.
func dial(t *testing.T, at tool.BrowserOut, method string) map[string]any {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), "ws://127.0.0.1:"+strconv.Itoa(at.Port)+at.Path, &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"http://elsewhere.example"}}})
	must(t, err)
	defer ws.CloseNow()
	must(t, wsjson.Write(t.Context(), ws, map[string]any{"id": 1, "method": method}))
	var answer struct{ Result map[string]any }
	must(t, wsjson.Read(t.Context(), ws, &answer))
	return answer.Result
}

func TestABrowserCanBeDialledAtOnce(t *testing.T) {
	b := newBrowser(t)
	in := tool.BrowserIn{UserAgent: "Test/1", CmdArgs: headless}
	at, failure := call(t, b, tool.OpenBrowser, in)
	if failure != "" {
		t.Fatal(failure)
	}
	if v := dial(t, at, "Browser.getVersion"); v["userAgent"] != "Test/1" {
		t.Errorf("it calls itself %v", v["userAgent"])
	}
	same, _ := call(t, b, tool.OpenBrowser, in)
	kept, _ := call(t, b, tool.OpenBrowser, tool.BrowserIn{Keep: true})
	if same != at || kept != at {
		t.Errorf("opened again: %v and %v, want %v", same, kept, at)
	}
	other, failure := call(t, b, tool.OpenBrowser, tool.BrowserIn{UserAgent: "Test/2", CmdArgs: headless})
	if failure != "" || other == at {
		t.Fatalf("with other options: %v, %s", other, failure)
	}
	if v := dial(t, other, "Browser.getVersion"); v["userAgent"] != "Test/2" {
		t.Errorf("it calls itself %v", v["userAgent"])
	}
	pid := b.running.cmd.Process.Pid
	if _, failure := call(t, b, tool.StopChrome, tool.None{}); failure != "" {
		t.Error(failure)
	}
	for end := time.Now().Add(10 * time.Second); syscall.Kill(-pid, 0) != syscall.ESRCH; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) { // they are not our children, and end in their own time
			t.Fatal("processes of the browser are left")
		}
	}
	if text, _ := call(t, b, tool.StopChrome, tool.None{}); text != "No browser was open" {
		t.Errorf("ended again: %q", text)
	}
}

func TestABrowserThatDiedIsOpenedAnew(t *testing.T) {
	b := newBrowser(t)
	in := tool.BrowserIn{CmdArgs: headless}
	at, failure := call(t, b, tool.OpenBrowser, in)
	if failure != "" {
		t.Fatal(failure)
	}
	syscall.Kill(-b.running.cmd.Process.Pid, syscall.SIGKILL)
	<-b.running.ended
	must(t, os.Symlink("elsewhere-1", filepath.Join(b.Profile, "SingletonLock-new")))
	must(t, os.Rename(filepath.Join(b.Profile, "SingletonLock-new"), filepath.Join(b.Profile, "SingletonLock"))) // as of another host
	again, failure := call(t, b, tool.OpenBrowser, in)
	if failure != "" || again == at {
		t.Fatalf("opened again: %v, %s", again, failure)
	}
	dial(t, again, "Browser.getVersion")
}

func TestABrowserThatEndsAtOnceSaysWhy(t *testing.T) {
	b := &Browser{Program: "/bin/sh", Profile: t.TempDir(), Port: 9222, Env: os.Environ()}
	if _, failure := call(t, b, tool.OpenBrowser, tool.BrowserIn{}); !strings.Contains(failure, "the browser has ended") {
		t.Errorf("opened: %q", failure)
	}
	b.Program = "/no/such/program"
	if _, failure := call(t, b, tool.OpenBrowser, tool.BrowserIn{}); !strings.Contains(failure, "cannot be started") {
		t.Errorf("opened: %q", failure)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for want, in := range map[string]tool.BrowserIn{
		"no browser":                            {Type: "firefox"},
		"cannot be 0 × 5":                       {Viewport: &tool.BrowserSize{Height: 5}},
		"cannot be 99999":                       {Screen: &tool.BrowserSize{Width: 99999, Height: 5}},
		"no switch":                             {CmdArgs: []string{"file:///etc/passwd"}},
		"set by the session":                    {CmdArgs: []string{"--remote-debugging-address=0.0.0.0"}},
		"at most 100":                           {CmdArgs: slices.Repeat([]string{"--x"}, 101)},
		"no address":                            {DefaultURL: "--no-sandbox"},
		"at most one proxy":                     {Proxies: make([]tool.BrowserProxy, 2)},
		"does not have":                         {Proxies: []tool.BrowserProxy{{Type: "wuying"}}},
		"has no server":                         {Proxies: []tool.BrowserProxy{{Type: "custom"}}},
		"of the kind \"ftp\"":                   {Proxies: []tool.BrowserProxy{{Server: "ftp://p", Username: "u", Password: "secret"}}},
		"is no address such":                    {Proxies: []tool.BrowserProxy{{Server: "http://u:secret@:x"}}},
		"127.0.0.1:1 does not":                  {Proxies: []tool.BrowserProxy{{Server: "http://127.0.0.1:1", Username: "u", Password: "secret"}}},
		"contradicts --user-agent=A/1, ":        {UserAgent: "A/1", CmdArgs: []string{"--user-agent=B/1"}},
		"contradicts --window-size=800,600, ":   {Viewport: &tool.BrowserSize{Width: 800, Height: 600}, CmdArgs: []string{"--window-size=80,60"}},
		"contradicts the option proxies":        {Proxies: []tool.BrowserProxy{{Server: "127.0.0.1:1"}}, CmdArgs: []string{"--proxy-server=socks5://b"}},
		"--no-proxy-server contradicts":         {Proxies: []tool.BrowserProxy{{Server: "127.0.0.1:1"}}, CmdArgs: []string{"--no-proxy-server"}},
		"contradicts --lang=de, ":               {CmdArgs: []string{"--lang=de", "--lang=fr"}},
		"no fingerprint is of a device of [\"d": {Stealth: true, Fingerprint: &tool.FingerprintWish{Devices: []string{"desktop"}, Systems: []string{"ios"}}},
	} {
		b := &Browser{Program: "/bin/false", Profile: t.TempDir()}
		if _, failure := call(t, b, tool.OpenBrowser, in); !strings.Contains(failure, want) || strings.Contains(failure, "secret") {
			t.Errorf("%+v: %q, want %q", in, failure, want)
		}
	}
}

func TestARefusedOptionLeavesTheBrowserOpen(t *testing.T) {
	b := newBrowser(t)
	at, failure := call(t, b, tool.OpenBrowser, tool.BrowserIn{CmdArgs: headless})
	if failure != "" {
		t.Fatal(failure)
	}
	for what, in := range map[string]tool.BrowserIn{
		"a browser that does not exist":     {Type: "firefox"},
		"a fingerprint that is none":        {Stealth: true, RawFingerprint: "%%%"},
		"a proxy that is not there":         {Proxies: []tool.BrowserProxy{{Server: "127.0.0.1:1"}}},
		"switches that contradict the rest": {UserAgent: "A/1", CmdArgs: []string{"--user-agent=B/1"}},
	} {
		if _, failure := call(t, b, tool.OpenBrowser, in); failure == "" {
			t.Fatalf("with %s it was opened", what)
		}
		if kept, _ := call(t, b, tool.OpenBrowser, tool.BrowserIn{Keep: true}); kept != at {
			t.Errorf("after %s it is at %v, want %v", what, kept, at)
		}
	}
}

func TestListsOfSwitchesAreMadeOne(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "one"), 0o700))
	args, err := new(Browser).arguments(tool.BrowserIn{
		Proxies: []tool.BrowserProxy{{Server: "127.0.0.1:1"}}, ExtensionPath: dir, Stealth: true, Viewport: &tool.BrowserSize{Width: 800, Height: 600},
		CmdArgs: []string{"--disable-features=A,B", "--load-extension=/two", "--disable-blink-features=C", "--enable-features=D", "--proxy-bypass-list=*.local", "--window-size=800,600"},
	})
	must(t, err)
	for _, want := range []string{
		"--disable-features=" + withoutFeatures + ",A,B", "--load-extension=" + filepath.Join(dir, "one") + ",/two",
		"--disable-blink-features=AutomationControlled,C", "--enable-features=D", "--proxy-bypass-list=*.local", "--window-size=800,600",
	} {
		if !slices.Contains(args, want) {
			t.Errorf("%q lacks %s", args, want)
		}
	}
}

func TestExtensionsAreTheDirectories(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "one"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "two.zip"), nil, 0o600))
	b := &Browser{}
	args, err := b.arguments(tool.BrowserIn{ExtensionPath: dir, DefaultURL: "https://a.example"})
	must(t, err)
	if want := "--load-extension=" + filepath.Join(dir, "one"); !slices.Contains(args, want) {
		t.Errorf("%q lacks %s", args, want)
	}
	if args[len(args)-1] != "https://a.example" {
		t.Errorf("the last of %q is not the page", args)
	}
	if list := extensions(filepath.Join(dir, "nonesuch")); list != nil {
		t.Errorf("of a directory that is not there: %q", list)
	}
}
