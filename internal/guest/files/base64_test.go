package files

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestBase64OfAnyLengthIsThatOfTheStandard(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, rawPiece - 1, rawPiece, rawPiece + 1, 3*rawPiece + 2} {
		raw := noise(n)
		var text, back bytes.Buffer
		if err := sendBase64(&text, iotest.HalfReader(bytes.NewReader(raw))); err != nil {
			t.Fatal(err)
		}
		if text.String() != base64.StdEncoding.EncodeToString(raw) {
			t.Errorf("%d bytes: not their base64", n)
		}
		folded := strings.NewReplacer("AA", "A\r\nA", "B", "B\n").Replace(text.String())
		if _, err := decoded(folded).WriteTo(&back); err != nil || !bytes.Equal(back.Bytes(), raw) {
			t.Errorf("%d bytes: became %d, %v", n, back.Len(), err)
		}
	}
}

func TestWhatIsNoBase64IsRefusedWhereverItStands(t *testing.T) {
	whole := strings.Repeat("A", textPiece)
	for name, text := range map[string]string{
		"odd":                whole + "A",
		"other letter":       whole + "AA*A",
		"padding within":     "AA==" + whole,
		"padding of a piece": whole[:textPiece-4] + "AA==" + whole,
		"padding alone":      whole + "====",
		"two paddings":       whole[:textPiece-4] + "AA==" + "AA==",
	} {
		_, wantErr := base64.StdEncoding.Decode(make([]byte, len(text)), []byte(text))
		_, err := decoded(text).WriteTo(io.Discard)
		if wantErr == nil || err == nil || err.Error() != wantErr.Error() {
			t.Errorf("%s: error %v, want %v", name, err, wantErr)
		}
	}
}

func FuzzBase64IsThatOfTheStandard(f *testing.F) {
	for _, s := range []string{"", "QUJD", "QQ==", "QQ=", "QU\nJD", "QQ==QQ==", "****"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got bytes.Buffer
		_, err := decoded(text).WriteTo(&got)
		want, wantErr := base64.StdEncoding.DecodeString(text)
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%q became %q, %v; want %q, %v", text, got.Bytes(), err, want, wantErr)
		}
	})
}
