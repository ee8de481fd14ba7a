package view

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay/internal/guest/devtools"
)

// A browser is a headless Chromium, spoken to by the DevTools protocol.
type browser struct {
	t    testing.TB
	host string // where it listens
}

// newBrowser starts a browser that ends with the test.
func newBrowser(t testing.TB) *browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("lacks chromium; scripts/setup --test installs it")
	}
	cmd := exec.Command(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
		"--remote-debugging-port=0", "--window-size=1440,900", "--user-data-dir="+t.TempDir(), "about:blank")
	tmp, err := os.MkdirTemp("", "") // a socket is put there, whose path has to be short
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(tmp) })
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	said, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() })
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if _, at, ok := strings.Cut(lines.Text(), "DevTools listening on ws://"); ok {
			host, _, _ := strings.Cut(at, "/")
			go func() {
				for lines.Scan() { // so that it never waits for who reads
				}
			}()
			return &browser{t, host}
		}
	}
	t.Fatal("chromium does not start")
	return nil
}

// A tab is one page of a browser.
type tab struct {
	t    testing.TB
	page devtools.Session
}

// open opens a page.
func (b *browser) open(page string) *tab {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodPut, "http://"+b.host+"/json/new?"+url.QueryEscape(page), nil)
	must(b.t, err)
	answer, err := http.DefaultClient.Do(req)
	must(b.t, err)
	defer answer.Body.Close()
	var made struct{ WebSocketDebuggerURL string }
	must(b.t, json.NewDecoder(answer.Body).Decode(&made))
	conn, err := devtools.Dial(b.t.Context(), made.WebSocketDebuggerURL)
	must(b.t, err)
	b.t.Cleanup(conn.Close)
	return &tab{b.t, conn.Browser()} // a socket of the page alone
}

// do performs one command of the protocol and reads its result into out.
func (p *tab) do(method string, params map[string]any, out any) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	if err := p.page.Call(ctx, method, params, out); err != nil {
		p.t.Fatalf("%s: %v", method, err)
	}
}

// eval is a JavaScript expression's value in the page, as text.
func (p *tab) eval(expression string) string {
	p.t.Helper()
	var out struct {
		Result struct{ Value any }
	}
	p.do("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &out)
	return fmt.Sprint(out.Result.Value)
}

// wait waits until an expression is true in the page.
func (p *tab) wait(expression string) {
	p.t.Helper()
	last := ""
	defer func() {
		if p.t.Failed() {
			p.t.Logf("the page says %q", last)
		}
	}()
	eventually(p.t, expression, func() bool {
		last = p.eval("document.readyState + ' ' + document.body?.innerText + ' ' + document.visibilityState")
		return p.eval("Boolean("+expression+")") == "true"
	})
}

func (p *tab) click(id string) {
	p.t.Helper()
	p.eval("document.getElementById('" + id + "').click()")
}

// typeKeys types on the keyboard, as a person does.
func (p *tab) typeKeys(text string) {
	p.t.Helper()
	p.eval("document.querySelector('#screen canvas').focus()")
	for _, r := range text {
		k, code := string(r), "Key"+strings.ToUpper(string(r))
		if r == '\n' {
			k, code = "Enter", "Enter"
		}
		for _, kind := range []string{"keyDown", "keyUp"} {
			p.do("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": k, "code": code}, nil)
		}
	}
}

// shoot keeps a picture of the page, if the environment says where.
func (p *tab) shoot(name string) {
	p.t.Helper()
	dir := os.Getenv("AGENTBAY_ARTIFACTS")
	if dir == "" {
		return
	}
	var out struct{ Data string }
	p.do("Page.captureScreenshot", map[string]any{"format": "png"}, &out)
	b, err := base64.StdEncoding.DecodeString(out.Data)
	must(p.t, err)
	must(p.t, os.WriteFile(filepath.Join(dir, name+".png"), b, 0o644))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what programs do in their own time.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not happen: %s", what)
		}
	}
}
