package rpc

import (
	"github.com/agentbay/agentbay/internal/listener"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

func BenchmarkBigCall(b *testing.B) {
	d := &Door{Bay: newMemBay(), Log: slog.New(slog.DiscardHandler)}
	l, _ := listener.Listen("127.0.0.1:0", nil)
	srv := listener.Server(d, slog.New(slog.DiscardHandler))
	go srv.Serve(l)
	defer srv.Close()
	body := `{"tool":"write_file","args":{"path":"/x","content":"` + strings.Repeat("some text, as files have it, with a \\\"quote\\\"\\n", (64<<20)/48) + `"}}`
	b.SetBytes(64 << 20)
	b.ReportAllocs()
	for b.Loop() {
		req, _ := http.NewRequest("POST", "http://"+l.Addr().String()+"/link/"+testID+"/callTool", strings.NewReader(body))
		req.Header.Set(tokenHeader, testToken)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
}
func BenchmarkBigParse(b *testing.B) {
	body := []byte(`{"tool":"write_file","args":{"path":"/x","content":"` + strings.Repeat("some text, as files have it, with a \\\"quote\\\"\\n", (64<<20)/48) + `"}}`)
	b.SetBytes(64 << 20)
	for b.Loop() {
		if _, err := parseCall(body); err != nil {
			b.Fatal(err)
		}
	}
}
