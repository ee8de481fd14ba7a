package gate

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"
)

var ticketSecret = []byte("0123456789abcdef")

func TestTicketSaysWhatWasSigned(t *testing.T) {
	for _, want := range []FileTicket{
		{Context: "SdkCtx-1", Path: "/tmp/a b/ü.bin", Expires: time.Unix(1_800_000_000, 0)},
		{Context: "SdkCtx-1", Path: "C:/Users/x", Write: true, Expires: time.Unix(0, 0)},
		{Expires: time.Unix(-1, 0)},
	} {
		ticket := want.Sign(ticketSecret)
		got, ok := OpenFileTicket(ticket, ticketSecret)
		if !ok || got != want {
			t.Errorf("%+v came back as %+v, %v", want, got, ok)
		}
		if scrubbed := Scrub("PUT " + FilePath(ticketSecret, want)); strings.Contains(scrubbed, ticket[12:]) {
			t.Errorf("Scrub leaves %s", scrubbed)
		}
	}
}

func TestForgedTicketsDoNotOpen(t *testing.T) {
	ticket := FileTicket{Context: "SdkCtx-1", Path: "/a", Expires: time.Now()}.Sign(ticketSecret)
	b, err := base64.RawURLEncoding.DecodeString(ticket[4:])
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		forged := bytes.Clone(b)
		forged[i] ^= 1
		if _, ok := OpenFileTicket("tok-"+base64.RawURLEncoding.EncodeToString(forged), ticketSecret); ok {
			t.Errorf("a ticket with another byte %d opens", i)
		}
	}
	for name, forged := range map[string]string{
		"nothing": "", "a prefix": "tok-", "less": ticket[:len(ticket)-4], "more": ticket + "AAAA", "padded": ticket + "=", "bare": ticket[4:],
	} {
		if _, ok := OpenFileTicket(forged, ticketSecret); ok {
			t.Errorf("%s opens", name)
		}
	}
	for _, secret := range [][]byte{nil, []byte("short"), []byte("fedcba9876543210")} {
		if _, ok := OpenFileTicket(ticket, secret); ok {
			t.Errorf("the secret %q opens another's ticket", secret)
		}
	}
}

func TestFilePathEndsInTheName(t *testing.T) {
	for file, name := range map[string]string{"/tmp/a b#?.txt": "a b#?.txt", "/ü/漢字": "漢字", "C:/x": "x", "/": "/"} {
		want := FileTicket{Context: "SdkCtx-1", Path: file, Expires: time.Unix(1, 0)}
		u, err := url.Parse("http://bay.example" + FilePath(ticketSecret, want))
		if err != nil || !strings.HasSuffix(u.Path, "/"+name) || u.RawQuery != "" || u.Fragment != "" {
			t.Errorf("%s: %v, %v", file, u, err)
		}
		ticket, ok := CutFilePath(u.Path)
		if got, opens := OpenFileTicket(ticket, ticketSecret); !ok || !opens || got != want {
			t.Errorf("%s: ticket %q says %+v", file, ticket, got)
		}
	}
	for _, path := range []string{"", "/", "/objects", "/objects/", "/objects//x", "/port/x"} {
		if ticket, ok := CutFilePath(path); ok {
			t.Errorf("%q has the ticket %q", path, ticket)
		}
	}
}

func FuzzOpenFileTicket(f *testing.F) {
	f.Add(FileTicket{Context: "c", Path: "/p", Write: true, Expires: time.Unix(1, 0)}.Sign(ticketSecret), []byte("\x01\x00\x02\x01cp"))
	f.Add("tok-AAAA", []byte("\x01\x00\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, ticket string, said []byte) {
		if opened, ok := OpenFileTicket(ticket, ticketSecret); ok && opened.Sign(ticketSecret) == "" {
			t.Errorf("%q opens and cannot be signed", ticket)
		}
		if opened, ok := decodeTicket(said); ok {
			if again, ok := OpenFileTicket(opened.Sign(ticketSecret), ticketSecret); !ok || again != opened {
				t.Errorf("%q says %+v, and again %+v", said, opened, again)
			}
		}
	})
}
