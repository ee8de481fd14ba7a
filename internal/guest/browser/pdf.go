package browser

import (
	"cmp"
	"context"
	"strings"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// papers is the width and height of kinds of paper, in inches (ISO 216 and ANSI Y14.1).
var papers = map[string][2]float64{
	"a3": {11.69, 16.54}, "a4": {8.27, 11.69}, "a5": {5.83, 8.27},
	"letter": {8.5, 11}, "legal": {8.5, 14}, "tabloid": {11, 17},
}

// pdf prints a page.
func (b *Browser) pdf(ctx context.Context, in tool.PagePDFIn) (guest.Answer, error) {
	paper, ok := papers[strings.ToLower(cmp.Or(in.Paper, "a4"))]
	if !ok {
		return guest.Answer{}, guest.Failf(guest.BadArgument, "there is no paper %q; use a3, a4, a5, letter, legal or tabloid", clip(in.Paper))
	}
	return b.work(ctx, in.Page, within(in.Timeout), func(ctx context.Context, p *page) (guest.Answer, error) {
		var out struct{ Data string }
		err := p.Call(ctx, "Page.printToPDF", map[string]any{
			"paperWidth": paper[0], "paperHeight": paper[1], "landscape": in.Landscape, "printBackground": in.Background, "pageRanges": in.Ranges,
		}, &out)
		return guest.Text("data:application/pdf;base64," + out.Data), err
	})
}
