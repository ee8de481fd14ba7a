// Package runtimetest is the suite that every runtime must pass, and the test
// guest that machines of the suite run. What only a real host can show, such as
// limits and the isolation of networks, is tested beside the driver.
package runtimetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
)

// A Bench is what the suite is run with.
type Bench struct {
	// Open opens the Runtime under test, and again after Abandon, on the same state.
	Open func() (runtime.Runtime, error)

	// Abandon does to a Runtime what kill -9 of its server does. It must not be
	// used afterwards.
	Abandon func(runtime.Runtime)

	// Spec returns what boots the test guest. Its guest's command line may be
	// given Die or Hang as an argument.
	Spec func(id agentbay.SessionID) runtime.Spec

	// Kill kills the machine from outside, as a crash would.
	Kill func(rt runtime.Runtime, id agentbay.SessionID) error

	// Pretends is whether machines only say that they show mounts, so that their
	// guests are sent to Written.Merged instead.
	Pretends bool

	// Leaks names what is on the host of machines that are not there. Nil means
	// that there is nothing to look at.
	Leaks func() []string
}

// Run runs the suite. Each test opens the Runtime anew.
func Run(t *testing.T, b Bench) {
	for _, test := range []struct {
		claim string
		run   func(*testing.T, *host)
	}{
		{"StartedMachineAnswers", startedMachineAnswers},
		{"SecondStartIsConflict", secondStartIsConflict},
		{"StopIsIdempotent", stopIsIdempotent},
		{"StoppedMachineIsNotFound", stoppedMachineIsNotFound},
		{"IDCanBeUsedAgainAfterStop", idCanBeUsedAgainAfterStop},
		{"WaitTellsEveryoneOfStop", waitTellsEveryoneOfStop},
		{"WaitTellsThatGuestEnded", waitTellsThatGuestEnded},
		{"WaitTellsThatMachineWasKilled", waitTellsThatMachineWasKilled},
		{"WaitHonoursContext", waitHonoursContext},
		{"WaitForNobodyReturnsAtOnce", waitForNobodyReturnsAtOnce},
		{"FailedBootSaysWhyAndLeavesNothing", failedBootSaysWhyAndLeavesNothing},
		{"CancelledBootLeavesNothing", cancelledBootLeavesNothing},
		{"StopEndsBoot", stopEndsBoot},
		{"BadSpecIsInvalid", badSpecIsInvalid},
		{"ReopenedRuntimeAdoptsTheLiving", reopenedRuntimeAdoptsTheLiving},
		{"ReopenedRuntimeListsTheDead", reopenedRuntimeListsTheDead},
		{"MachinesStartAndStopAtOnce", machinesStartAndStopAtOnce},
		{"UsageIsMeasured", usageIsMeasured},
		{"MountShowsLayers", mountShowsLayers},
		{"MountIsTheUsersAndWritable", mountIsTheUsersAndWritable},
		{"ChangesLandInUpper", changesLandInUpper},
		{"DirectoriesOfLayersCanBeRenamed", directoriesOfLayersCanBeRenamed},
		{"WhatTheHostWritesIsSeen", whatTheHostWritesIsSeen},
		{"WhatWasAtTheTargetStays", whatWasAtTheTargetStays},
		{"LinksOfTheSystemAreFollowed", linksOfTheSystemAreFollowed},
		{"LinksOfTheUserAreRefused", linksOfTheUserAreRefused},
		{"WhatTheUserMayNotReadIsNotCopied", whatTheUserMayNotReadIsNotCopied},
		{"BadTargetIsInvalid", badTargetIsInvalid},
		{"MountsAreShownInOrder", mountsAreShownInOrder},
		{"MountsAreShownAllOrNone", mountsAreShownAllOrNone},
		{"SecondMountOfANameIsConflict", secondMountOfANameIsConflict},
		{"MountInNobodyIsNotFound", mountInNobodyIsNotFound},
		{"WrittenOutlivesTheMachine", writtenOutlivesTheMachine},
		{"WrittenOutlivesTheServer", writtenOutlivesTheServer},
		{"StoppedMachineHasWrittenNothing", stoppedMachineHasWrittenNothing},
		{"StopDoesNotWaitForReaders", stopDoesNotWaitForReaders},
		{"HaltKeepsWhatWasWritten", haltKeepsWhatWasWritten},
		{"HaltedMachineIsStillHaltedAfterReopen", haltedMachineIsStillHaltedAfterReopen},
		{"OthersDoNotSeeAMount", othersDoNotSeeAMount},
		{"LinksInAMountStayInside", linksInAMountStayInside},
	} {
		t.Run(test.claim, func(t *testing.T) {
			test.run(t, newHost(t, b))
		})
	}
}

// A host is one opened Runtime in one test.
type host struct {
	Bench
	t  *testing.T
	rt runtime.Runtime
}

func newHost(t *testing.T, b Bench) *host {
	h := &host{Bench: b, t: t}
	h.open()
	t.Cleanup(h.close)
	return h
}

func (h *host) open() {
	h.t.Helper()
	rt, err := h.Open()
	if err != nil {
		h.t.Fatalf("Open: %v", err)
	}
	h.rt = rt
}

// reopen abandons the Runtime and opens another on the same state.
func (h *host) reopen() {
	h.t.Helper()
	h.Abandon(h.rt)
	h.open()
}

// close stops all machines and looks for what they have left.
func (h *host) close() {
	list, err := h.rt.List(context.Background())
	if err != nil {
		h.t.Errorf("List: %v", err)
	}
	for _, m := range list {
		if err := h.rt.Stop(context.Background(), m.ID); err != nil {
			h.t.Errorf("Stop %s: %v", m.ID, err)
		}
	}
	if err := h.rt.Close(); err != nil {
		h.t.Errorf("Close: %v", err)
	}
	if h.Leaks == nil {
		return
	}
	for _, leak := range h.Leaks() {
		h.t.Errorf("left on the host: %s", leak)
	}
}

// start boots a machine with the test guest.
func (h *host) start(id agentbay.SessionID, change ...func(*runtime.Spec)) {
	h.t.Helper()
	spec := h.Spec(id)
	for _, c := range change {
		c(&spec)
	}
	if err := h.rt.Start(context.Background(), spec); err != nil {
		h.t.Fatalf("Start %s: %v", id, err)
	}
}

// ask asks the test guest, and returns its answer.
func (h *host) ask(id agentbay.SessionID, format string, args ...any) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return Ask(ctx, h.rt, id, fmt.Sprintf(format, args...))
}

// Ask asks the test guest of a machine, and returns its answer. See [Handler].
func Ask(ctx context.Context, rt runtime.Runtime, id agentbay.SessionID, path string) (string, error) {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return rt.Dial(ctx, id) },
	}}
	req, err := http.NewRequestWithContext(ctx, "POST", "http://guest"+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return string(b), err
}

// does is must for what answers nothing if it went well.
func (h *host) does(id agentbay.SessionID, format string, args ...any) {
	h.t.Helper()
	if got := h.must(id, format, args...); got != "" {
		h.t.Errorf("%s of machine %s: %s", fmt.Sprintf(format, args...), id, got)
	}
}

// must is ask for when the guest has to answer.
func (h *host) must(id agentbay.SessionID, format string, args ...any) string {
	h.t.Helper()
	answer, err := h.ask(id, format, args...)
	if err != nil {
		h.t.Fatalf("%s of machine %s: %v", fmt.Sprintf(format, args...), id, err)
	}
	return answer
}

func (h *host) info(id agentbay.SessionID) (i Info) {
	h.t.Helper()
	if err := json.Unmarshal([]byte(h.must(id, "/info")), &i); err != nil {
		h.t.Fatalf("/info of machine %s: %v", id, err)
	}
	return i
}

// wait waits for the machine's end, and returns the reason.
func (h *host) wait(id agentbay.SessionID) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	exit, err := h.rt.Wait(ctx, id)
	if err != nil {
		h.t.Fatalf("Wait for %s: %v", id, err)
	}
	return exit.Reason
}

func (h *host) stop(id agentbay.SessionID) {
	h.t.Helper()
	if err := h.rt.Stop(context.Background(), id); err != nil {
		h.t.Fatalf("Stop %s: %v", id, err)
	}
}

// expect checks what List says: the names, each with a "!" if it is dead.
func (h *host) expect(want ...string) {
	h.t.Helper()
	list, err := h.rt.List(context.Background())
	if err != nil {
		h.t.Fatalf("List: %v", err)
	}
	got := map[string]bool{}
	for _, m := range list {
		got[string(m.ID)+map[bool]string{false: "!"}[m.Alive]] = true
	}
	for _, w := range want {
		if !got[w] {
			h.t.Errorf("List is %v, want %q among them", got, want)
		}
	}
	if len(got) != len(want) {
		h.t.Errorf("List is %v, want %q", got, want)
	}
}

func (h *host) wantCode(what string, err error, code agentbay.Code) {
	h.t.Helper()
	if !errors.Is(err, code) {
		h.t.Errorf("%s: %v, want %s", what, err, code)
	}
}

func startedMachineAnswers(t *testing.T, h *host) {
	h.start("a")
	const path = "/tmp/agentbay-runtimetest"
	t.Cleanup(func() { os.Remove(path) }) // the host's, where a machine has no files of its own
	if got := h.must("a", "/write?path="+path) + h.must("a", "/read?path="+path); got != "" {
		t.Errorf("writing and reading a file: %q, want nothing", got)
	}
	h.expect("a")
}

func secondStartIsConflict(t *testing.T, h *host) {
	h.start("a")
	h.wantCode("second Start", h.rt.Start(t.Context(), h.Spec("a")), agentbay.Conflict)
	h.must("a", "/info") // and the first is none the worse
}

func stopIsIdempotent(_ *testing.T, h *host) {
	h.stop("never-there")
	h.start("a")
	h.stop("a")
	h.stop("a")
	h.expect()
}

func stoppedMachineIsNotFound(t *testing.T, h *host) {
	h.start("a")
	h.stop("a")
	_, err := h.rt.Dial(t.Context(), "a")
	h.wantCode("Dial after Stop", err, agentbay.NotFound)
}

func idCanBeUsedAgainAfterStop(_ *testing.T, h *host) {
	h.start("a")
	h.stop("a")
	h.start("a")
	h.must("a", "/info")
}

func waitTellsEveryoneOfStop(t *testing.T, h *host) {
	h.start("a")
	reasons := make(chan string)
	for range 3 {
		go func() {
			exit, _ := h.rt.Wait(context.Background(), "a")
			reasons <- exit.Reason
		}()
	}
	h.stop("a")
	for range 3 {
		// One who asks too late hears that nobody is there.
		if got := <-reasons; got != "stopped" && got != "there is no such machine" {
			t.Errorf("Wait during Stop: %q, want %q", got, "stopped")
		}
	}
}

func waitTellsThatGuestEnded(t *testing.T, h *host) {
	h.start("a")
	go h.ask("a", "/exit?status=7")
	if got := h.wait("a"); !strings.Contains(got, "7") {
		t.Errorf("Wait for a guest that exits with 7: %q, want the number in it", got)
	}
	_, err := h.rt.Dial(t.Context(), "a")
	h.wantCode("Dial of an ended machine", err, agentbay.NotFound)
	h.expect("a!")
}

func waitTellsThatMachineWasKilled(t *testing.T, h *host) {
	h.start("a")
	if err := h.Kill(h.rt, "a"); err != nil {
		t.Fatalf("Kill: %v", err)
	}
	if got := h.wait("a"); !strings.Contains(got, "killed") {
		t.Errorf("Wait for a machine that is killed: %q, want the word in it", got)
	}
	h.expect("a!")
}

func waitHonoursContext(t *testing.T, h *host) {
	h.start("a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.rt.Wait(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait with a cancelled context: %v, want %v", err, context.Canceled)
	}
}

func waitForNobodyReturnsAtOnce(t *testing.T, h *host) {
	if got := h.wait("never-there"); got == "" {
		t.Error("Wait for a machine that never was gives no reason")
	}
}

func failedBootSaysWhyAndLeavesNothing(t *testing.T, h *host) {
	spec := h.Spec("a")
	spec.Guest = append(spec.Guest, Die)
	err := h.rt.Start(t.Context(), spec)
	h.wantCode("Start of a guest that dies", err, agentbay.Unavailable)
	if err != nil && !strings.Contains(err.Error(), LastWords) {
		t.Errorf("Start of a guest that dies: %v, want its last words %q", err, LastWords)
	}
	h.expect()
}

func cancelledBootLeavesNothing(t *testing.T, h *host) {
	spec := h.Spec("a")
	spec.Guest = append(spec.Guest, Hang)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := h.rt.Start(ctx, spec); err == nil {
		t.Error("Start of a guest that never gets ready: no error")
	}
	h.expect()
}

func stopEndsBoot(t *testing.T, h *host) {
	spec := h.Spec("a")
	spec.Guest = append(spec.Guest, Hang)
	failed := make(chan error)
	go func() { failed <- h.rt.Start(context.Background(), spec) }()
	for {
		list, err := h.rt.List(t.Context())
		if err != nil {
			t.Fatalf("List: %v", err)
		}
		if len(list) > 0 {
			break
		}
	}
	h.stop("a")
	if err := <-failed; err == nil {
		t.Error("Start of a machine that was stopped meanwhile: no error")
	}
	h.expect()
}

func badSpecIsInvalid(t *testing.T, h *host) {
	for _, id := range []agentbay.SessionID{"", "..", "a/b", "a\x00b", agentbay.SessionID(strings.Repeat("a", 200))} {
		h.wantCode(fmt.Sprintf("Start of %q", id), h.rt.Start(t.Context(), h.Spec(id)), agentbay.Invalid)
	}
}

func reopenedRuntimeAdoptsTheLiving(t *testing.T, h *host) {
	h.start("a")
	h.reopen()
	h.expect("a")
	h.must("a", "/info")
	h.wantCode("Start of what is there", h.rt.Start(t.Context(), h.Spec("a")), agentbay.Conflict)
	h.ask("a", "/say?mib=1") // nobody reads any more, and it must not matter
	if err := h.Kill(h.rt, "a"); err != nil {
		t.Fatalf("Kill: %v", err)
	}
	if got := h.wait("a"); got == "" {
		t.Error("Wait for an adopted machine gives no reason")
	}
}

func reopenedRuntimeListsTheDead(t *testing.T, h *host) {
	h.start("a")
	h.start("b")
	if err := h.Kill(h.rt, "a"); err != nil {
		t.Fatalf("Kill: %v", err)
	}
	h.wait("a")
	h.reopen()
	h.expect("a!", "b")
	h.wait("a") // at once
	h.stop("a")
	h.expect("b")
}

func machinesStartAndStopAtOnce(t *testing.T, h *host) {
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			id := agentbay.SessionID(fmt.Sprintf("m%d", i))
			for range 2 {
				if err := h.rt.Start(context.Background(), h.Spec(id)); err != nil {
					t.Errorf("Start %s: %v", id, err)
					return
				}
				if _, err := h.ask(id, "/info"); err != nil {
					t.Errorf("machine %s does not answer: %v", id, err)
				}
				if err := h.rt.Stop(context.Background(), id); err != nil {
					t.Errorf("Stop %s: %v", id, err)
				}
			}
		})
	}
	group.Wait()
	h.expect()
}

func usageIsMeasured(t *testing.T, h *host) {
	meter, ok := h.rt.(runtime.Meter)
	if !ok {
		t.Skip("the runtime does not measure")
	}
	h.start("a", func(s *runtime.Spec) { s.Limits = runtime.Limits{CPU: 1, Memory: 512 << 20, Disk: 256 << 20} })
	h.must("a", "/info")
	u, err := meter.Usage(t.Context(), "a")
	if err != nil {
		t.Fatalf("Usage: %v", err)
	}
	if u.CPU <= 0 || u.Memory <= 0 || u.Received <= 0 || u.Transmitted <= 0 {
		t.Errorf("Usage is %+v, want CPU, memory and traffic above zero", u)
	}
	if u.Cores != 1 || u.MemoryLimit != 512<<20 || u.DiskLimit != 256<<20 {
		t.Errorf("Usage is %+v, want the limits of the spec", u)
	}
	_, err = meter.Usage(t.Context(), "never-there")
	h.wantCode("Usage of nobody", err, agentbay.NotFound)
}
