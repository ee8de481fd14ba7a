package main

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentbay/agentbay/internal/image"
)

// A log shows when a step begins, that it goes on, and when it is done; a step
// that was built before is not worth a line.
func TestABuildIsSeenOffATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := (&app{env: env{out: &out}}).newProgress()
		step := image.Progress{Image: "code_latest", Step: "Debian", Number: 1, Steps: 2}
		p.report(image.Progress{Image: step.Image, Step: step.Step, Number: 1, Steps: 2, Cached: true, Done: true})
		step.Number, step.Step = 2, "setup"
		p.report(step)
		time.Sleep(20 * time.Second)
		step.Percent, step.Detail, step.Elapsed = 40, "Unpacking r-base", 20*time.Second
		p.report(step)
		time.Sleep(50 * time.Second)
		step.Percent, step.Detail, step.Elapsed, step.Done = 100, "", 70*time.Second, true
		p.report(step)
		time.Sleep(time.Minute)
		p.end()
		const want = `image      code_latest [2/2] setup ...
image      code_latest [2/2] setup: 40% 30s Unpacking r-base
image      code_latest [2/2] setup: 40% 1m0s Unpacking r-base
image      code_latest [2/2] setup: 1m10s
`
		if out.String() != want {
			t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
		}
	})
}
