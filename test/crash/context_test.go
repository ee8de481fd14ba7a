package crash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/test/live"
)

var (
	seed  = flag.Uint64("seed", 0, "what the clients do that keep files in contexts; 0 is something new each time")
	kills = flag.Int("kills", 10, "how often the server is killed while they do it")
)

// What a client was told of its files holds after kill -9, whatever the server
// was doing: they are there, whole, or one that was being replaced is still the
// old one. Once all is deleted nothing is left of them.
func TestKillAnywhereWithContexts(t *testing.T) {
	b := live.New(t, "--max-sessions", "50", "--warm", "code_latest=1,linux_latest=0", "--image-runtime", "linux_latest=runc")
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("seed %d", *seed)
	dice := rand.New(rand.NewPCG(*seed, 0))
	keepers := newKeepers(t, b)
	for round := range *kills {
		operations, delay := 5+dice.IntN(20), time.Duration(dice.IntN(60))*time.Millisecond
		b.Client.Sessions(t.Context(), agentbay.SessionQuery{}) // the first call finds out what the server speaks
		done := killWhile(t, b, keepers, operations, delay)
		b.Start()
		for _, k := range keepers {
			k.settle(t)
		}
		t.Logf("round %d: %d operations, %d files", round, done, keepers.files())
		if t.Failed() {
			return
		}
	}
	keepers.deleteAll(t)
	b.Kill()
	b.Start() // which is when data is collected
	waitUntilEmpty(t, b)
	waitUntilGone(t, b.Data, "blobs", "checkouts", "mounts")
	b.Stop()
	waitUntilGone(t, b.Data, "machines/runsc/m", "machines/runc/m", "machines/runsc/contexts", "machines/runc/contexts")
	if left := leftovers(t, b.Data); len(left) > 0 {
		t.Errorf("left on the host:\n%s", strings.Join(left, "\n"))
	}
}

// A keeper is a client that keeps files in contexts, and what it may believe of
// them.
type keeper struct {
	name   string
	image  string
	client *agentbay.Client
	dice   *rand.Rand

	own, shared agentbay.ContextID       // own is nobody else's, and empty while there is none
	gone        agentbay.ContextID       // the last that was deleted
	names       set                      // what own may be called
	files       map[place]set            // what each file may be
	history     map[string]map[place]set // what own was in its snapshots

	session  agentbay.SessionID // empty if there is none
	deleting bool               // its deletion was asked for; the answer may not have come
	manual   bool               // it saves only what it is told to
	unsaved  map[place]set      // what the files may be that it wrote
}

// A place is a file of a context.
type place struct {
	context agentbay.ContextID
	path    string
}

// A set is what something may be: versions of a file, of which "" is none.
type set map[string]bool

func one(x string) set { return set{x: true} }

type keepers []*keeper

func newKeepers(t *testing.T, b *live.Bay) (all keepers) {
	shared, err := b.Client.CreateContext(t.Context(), "shared")
	if err != nil {
		t.Fatal(err)
	}
	for i, image := range []string{"code_latest", "linux_latest", "code_latest", "linux_latest"} {
		k := &keeper{
			name: fmt.Sprintf("k%d", i), image: image, client: b.Client, shared: shared.ID,
			dice: rand.New(rand.NewPCG(*seed, uint64(i+1))), files: map[place]set{},
		}
		if err := k.createContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		all = append(all, k)
	}
	return all
}

func (all keepers) files() (n int) {
	for _, k := range all {
		for _, s := range k.files {
			if !s[""] {
				n++
			}
		}
	}
	return n
}

// killWhile lets the keepers work, and kills the server some time after so many
// operations. It returns how many there were.
func killWhile(t *testing.T, b *live.Bay, all keepers, operations int, delay time.Duration) (n int) {
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	done := make(chan struct{})
	var working sync.WaitGroup
	for _, k := range all {
		working.Go(func() { k.work(ctx, t, done) })
	}
	for ; n < operations; n++ {
		select {
		case <-done:
		case <-ctx.Done():
			t.Fatal("the keepers made no progress for two minutes")
		}
	}
	killed := time.After(delay) // not to wait for anything: to be killed in the middle of it
	for waiting := true; waiting; {
		select {
		case <-done:
			n++
		case <-killed:
			waiting = false
		}
	}
	b.Kill()
	stop()
	working.Wait()
	return n
}

// work does this and that until the server is gone.
func (k *keeper) work(ctx context.Context, t *testing.T, done chan<- struct{}) {
	for ctx.Err() == nil {
		what, do := k.choose()
		if err := do(ctx); err != nil {
			if ctx.Err() == nil && !errors.Is(err, agentbay.Unavailable) && !isNetwork(err) {
				t.Errorf("%s: %s: %v", k.name, what, err)
			}
			return
		}
		select {
		case done <- struct{}{}:
		case <-ctx.Done():
		}
	}
}

// isNetwork reports whether a call failed because the server was killed.
func isNetwork(err error) bool {
	for _, cut := range []string{"connection refused", "connection reset", "EOF", "broken pipe", "could not be reached"} {
		if strings.Contains(err.Error(), cut) {
			return true
		}
	}
	return false
}

// choose returns what to do next.
func (k *keeper) choose() (string, func(context.Context) error) {
	type deed struct {
		weight int
		what   string
		do     func(context.Context) error
	}
	deeds := []deed{
		{3, "put", k.put}, {5, "create", k.create}, {1, "clear", k.clear}, {2, "restore", k.restore},
		{1, "rename", k.rename}, {1, "delete a file", k.deleteFile}, {1, "delete a context", k.deleteContext},
	}
	if k.session != "" {
		deeds = []deed{{2, "put", k.put}, {5, "write", k.write}, {1, "remove", k.remove}, {2, "sync", k.sync}, {2, "delete", k.delete}, {2, "hand over", k.handOver}}
	}
	total := 0
	for _, d := range deeds {
		total += d.weight
	}
	n := k.dice.IntN(total)
	for _, d := range deeds {
		if n -= d.weight; n < 0 {
			return d.what, d.do
		}
	}
	panic("not reached")
}

// seal makes content that proves itself, and its version.
func (k *keeper) seal() (content []byte, version string) {
	size := 1 + k.dice.IntN(20_000)
	if k.dice.IntN(6) == 0 {
		size = 1<<20 + k.dice.IntN(2<<20)
	}
	body := make([]byte, size)
	chacha := rand.NewChaCha8([32]byte{byte(k.dice.Uint32()), byte(k.dice.Uint32()), byte(k.dice.Uint32()), byte(k.dice.Uint32())})
	chacha.Read(body)
	sum := sha256.Sum256(body)
	return append(sum[:], body...), hex.EncodeToString(sum[:6])
}

// versionOf proves content.
func versionOf(content []byte) (string, error) {
	if len(content) < sha256.Size {
		return "", fmt.Errorf("it has %d bytes", len(content))
	}
	sum := sha256.Sum256(content[sha256.Size:])
	if !bytes.Equal(sum[:], content[:sha256.Size]) {
		return "", fmt.Errorf("its %d bytes are not what was written", len(content))
	}
	return hex.EncodeToString(sum[:6]), nil
}

// may notes that a file can be something else from now on, and is what it must
// be.
func (k *keeper) may(p place, version string) {
	if k.files[p] == nil {
		k.files[p] = one("")
	}
	k.files[p][version] = true
}

func (k *keeper) is(p place, version string) { k.files[p] = one(version) }

func (k *keeper) createContext(ctx context.Context) error {
	name := fmt.Sprintf("%s-%x", k.name, k.dice.Uint64())
	x, err := k.client.ContextNamed(ctx, name, true)
	if err == nil {
		k.own, k.names, k.history = x.ID, one(name), map[string]map[place]set{}
	}
	return err
}

func (k *keeper) put(ctx context.Context) error {
	content, version := k.seal()
	p := place{k.own, fmt.Sprintf("/data/put/%d", k.dice.IntN(4))}
	k.may(p, version)
	err := k.client.PutContextFile(ctx, p.context, p.path, bytes.NewReader(content))
	if err == nil {
		k.is(p, version)
	}
	return err
}

func (k *keeper) deleteFile(ctx context.Context) error {
	for p, s := range k.files {
		if p.context != k.own || s[""] {
			continue
		}
		k.may(p, "")
		err := k.client.DeleteContextFile(ctx, p.context, p.path)
		if err == nil {
			k.is(p, "")
		}
		return err
	}
	return nil
}

func (k *keeper) clear(ctx context.Context) error {
	for p := range k.ownFiles() {
		k.may(p, "")
	}
	if err := k.client.ClearContext(ctx, k.own); err != nil {
		return err
	}
	if err := k.available(ctx); err != nil {
		return err
	}
	for p := range k.ownFiles() {
		k.is(p, "")
	}
	return nil
}

// available waits until own is not being cleared any more.
func (k *keeper) available(ctx context.Context) error {
	for {
		x, err := k.client.Context(ctx, k.own)
		if err != nil || x.State == agentbay.ContextAvailable {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond): // there is no event for it
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ownFiles returns what the files of own may be.
func (k *keeper) ownFiles() map[place]set {
	own := map[place]set{}
	for p, s := range k.files {
		if p.context == k.own {
			own[p] = maps.Clone(s)
		}
	}
	return own
}

// remember notes what own is in its newest snapshot, while nobody changes it.
func (k *keeper) remember(ctx context.Context) error {
	list, err := k.client.Snapshots(ctx, k.own)
	if err == nil && len(list) > 0 {
		k.history[list[0].ID] = k.ownFiles()
	}
	return err
}

func (k *keeper) restore(ctx context.Context) error {
	if err := k.remember(ctx); err != nil {
		return err
	}
	for id, then := range k.history {
		delete(k.history, id)
		now := k.ownFiles()
		for p := range now {
			for version := range orNone(then[p]) {
				k.may(p, version)
			}
		}
		err := k.client.RestoreContext(ctx, k.own, id)
		if errors.Is(err, agentbay.NotFound) { // it is too long ago
			maps.Copy(k.files, now)
			return nil
		}
		for p := range now {
			if err == nil {
				k.files[p] = maps.Clone(orNone(then[p]))
			}
		}
		return err
	}
	return nil
}

func orNone(s set) set {
	if s == nil {
		return one("")
	}
	return s
}

func (k *keeper) rename(ctx context.Context) error {
	name := fmt.Sprintf("%s-%x", k.name, k.dice.Uint64())
	k.names[name] = true
	err := k.client.RenameContext(ctx, k.own, name)
	if err == nil {
		k.names = one(name)
	}
	return err
}

func (k *keeper) deleteContext(ctx context.Context) error {
	for p := range k.ownFiles() {
		k.may(p, "")
	}
	k.names[""] = true
	if err := k.client.DeleteContext(ctx, k.own); err != nil {
		return err
	}
	k.forget()
	return k.createContext(ctx)
}

// forget notes that own is gone.
func (k *keeper) forget() {
	for p := range k.ownFiles() {
		delete(k.files, p)
	}
	k.gone, k.own = k.own, ""
}

// create makes a session with both contexts, from the start or later.
func (k *keeper) create(ctx context.Context) error {
	k.manual = k.dice.IntN(4) == 0
	id, err := k.boot(ctx, k.dice.IntN(2) == 0)
	if err == nil {
		k.session, k.unsaved = id, map[place]set{}
		err = k.see(ctx)
	}
	return err
}

// boot makes a session.
func (k *keeper) boot(ctx context.Context, later bool) (agentbay.SessionID, error) {
	policy := agentbay.DefaultSyncPolicy
	policy.ManualUpload = k.manual
	mounts := []agentbay.ContextMount{{Context: k.own, Path: "/data", Policy: policy}, {Context: k.shared, Path: "/shared", Policy: policy}}
	spec := agentbay.SessionSpec{Image: k.image, Labels: map[string]string{"keeper": k.name}, IdleTimeout: time.Hour}
	if !later {
		spec.Contexts = mounts
	}
	s, err := k.client.Create(ctx, spec)
	if err == nil && later {
		err = s.MountContexts(ctx, mounts...)
	}
	if err != nil {
		return "", err
	}
	return s.ID, nil
}

// see looks at the files of own in a new session, which must be what they are in
// the context.
func (k *keeper) see(ctx context.Context) error {
	for p, may := range k.files {
		if p.context != k.own || k.dice.IntN(3) > 0 {
			continue
		}
		if err := k.seeFile(ctx, p, may); err != nil {
			return err
		}
	}
	return nil
}

// seeFile looks at a file in the session.
func (k *keeper) seeFile(ctx context.Context, p place, may set) error {
	version := ""
	content, err := agentbay.Use(k.client, k.session).FS(ctx).ReadFile(p.path[1:])
	if err == nil {
		version, err = versionOf(content)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("%s in session %s: %w", p.path, k.session, err)
	}
	if !may[version] {
		return fmt.Errorf("%s in session %s is %q, want one of %q", p.path, k.session, version, slices.Sorted(maps.Keys(may)))
	}
	return nil
}

// somewhere is a file that the session may write.
func (k *keeper) somewhere() place {
	if k.dice.IntN(3) == 0 {
		return place{k.shared, fmt.Sprintf("/shared/%s/%d", k.name, k.dice.IntN(2))}
	}
	return place{k.own, fmt.Sprintf("/data/session/%d", k.dice.IntN(4))}
}

func (k *keeper) write(ctx context.Context) error {
	p := k.somewhere()
	content, version := k.seal()
	return k.change(p, version, func() error {
		files := agentbay.Use(k.client, k.session).FS(ctx)
		if err := files.MkdirAll(filepath.Dir(p.path)[1:]); err != nil {
			return err
		}
		if err := files.WriteFile(p.path[1:]+part, content); err != nil {
			return err
		}
		return files.Rename(p.path[1:]+part, p.path[1:])
	})
}

// part ends the names of files that are being written.
const part = ".part"

func (k *keeper) remove(ctx context.Context) error {
	p := k.somewhere()
	return k.change(p, "", func() error { return agentbay.Use(k.client, k.session).Command("rm -f " + p.path).Run(ctx) })
}

// change changes a file in the session.
func (k *keeper) change(p place, version string, do func() error) error {
	was := k.unsaved[p]
	if was == nil {
		was = orNone(k.files[p])
	}
	k.unsaved[p] = maps.Clone(was)
	k.unsaved[p][version] = true
	err := do()
	if err == nil {
		k.unsaved[p] = one(version)
	}
	return err
}

func (k *keeper) sync(ctx context.Context) error {
	k.mayBeSaved()
	err := agentbay.Use(k.client, k.session).SyncContexts(ctx, agentbay.SyncRequest{})
	if err == nil {
		k.areSaved()
	}
	return err
}

func (k *keeper) mayBeSaved() {
	for p, s := range k.unsaved {
		for version := range s {
			k.may(p, version)
		}
	}
}

func (k *keeper) areSaved() {
	maps.Copy(k.files, k.unsaved)
	k.unsaved = map[place]set{}
}

func (k *keeper) delete(ctx context.Context) error {
	k.deleting = true
	k.mayBeSaved()
	err := agentbay.Use(k.client, k.session).Delete(ctx)
	if err == nil {
		k.ended()
	}
	return err
}

// ended notes that the session has ended, as its keeper wished.
func (k *keeper) ended() {
	if !k.manual {
		k.areSaved()
	}
	k.session, k.deleting = "", false
}

// handOver deletes the session and goes on in another, which sees what the first
// wrote, saved or not.
func (k *keeper) handOver(ctx context.Context) error {
	k.deleting = true
	k.mayBeSaved()
	if err := k.client.DeleteSession(ctx, k.session); err != nil {
		return err
	}
	id, err := k.boot(ctx, k.dice.IntN(2) == 0)
	if err != nil {
		return err
	}
	k.ended()
	k.session, k.unsaved = id, map[place]set{}
	return k.see(ctx)
}

// settle holds everything against what the keeper was told, and finds out what
// became of what the server was asked for last.
func (k *keeper) settle(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, do := range []func(context.Context) error{k.settleSession, k.settleContext} {
		if err := do(ctx); err != nil {
			t.Errorf("%s after the crash: %v", k.name, err)
			return
		}
	}
	for _, dir := range []place{{k.own, "/data"}, {k.shared, "/shared/" + k.name}} {
		if err := k.settleFiles(ctx, dir); err != nil {
			t.Errorf("%s after the crash: %v", k.name, err)
		}
	}
}

// settleSession goes on with the session or ends it, and ends those that nobody
// was told of.
func (k *keeper) settleSession(ctx context.Context) error {
	list, err := k.sessions(ctx)
	if err != nil {
		return err
	}
	keep, found := agentbay.SessionID(""), k.session == "" || k.deleting
	for _, s := range list {
		if s.ID == k.session {
			found = true
			if s.State == agentbay.Running && k.dice.IntN(2) == 0 {
				keep = s.ID
				continue
			}
		}
		if err := k.client.DeleteSession(ctx, s.ID); err != nil && !errors.Is(err, agentbay.NotFound) {
			return err
		}
	}
	if !found {
		return fmt.Errorf("session %s is gone", k.session)
	}
	if err := k.awaitEnds(ctx, keep); err != nil {
		return err
	}
	if keep != "" {
		k.deleting = false
		return k.adopted(ctx)
	}
	if k.session == "" {
		return nil
	}
	info, err := k.client.Session(ctx, k.session)
	if err != nil || info.EndReason != "deleted" {
		return fmt.Errorf("session %s ended: %+v, %v", k.session, info, err)
	}
	k.ended()
	return nil
}

// sessions lists the keeper's sessions.
func (k *keeper) sessions(ctx context.Context) ([]agentbay.SessionInfo, error) {
	page, err := k.client.Sessions(ctx, agentbay.SessionQuery{Labels: map[string]string{"keeper": k.name}, Limit: 100})
	if err != nil {
		return nil, err
	}
	return page.Sessions, nil
}

// awaitEnds waits until all sessions but one have ended.
func (k *keeper) awaitEnds(ctx context.Context, keep agentbay.SessionID) error {
	for {
		list, err := k.sessions(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(list, func(s agentbay.SessionInfo) bool { return s.ID != keep }) {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond): // there is no event for it
		case <-ctx.Done():
			return fmt.Errorf("sessions do not end: %+v", list)
		}
	}
}

// adopted checks that a session is as it was before the crash.
func (k *keeper) adopted(ctx context.Context) error {
	mounts, err := k.client.ContextMounts(ctx, k.session)
	if err != nil || len(mounts) != 2 {
		return fmt.Errorf("session %s has the mounts %+v, %v", k.session, mounts, err)
	}
	for p, may := range k.unsaved {
		if err := k.seeFile(ctx, p, may); err != nil {
			return err
		}
	}
	return nil
}

// settleContext finds out whether own was deleted.
func (k *keeper) settleContext(ctx context.Context) error {
	if k.gone != "" {
		if _, err := k.client.Context(ctx, k.gone); !errors.Is(err, agentbay.NotFound) {
			return fmt.Errorf("context %s was deleted, and its look-up says %v", k.gone, err)
		}
	}
	if k.own == "" {
		return k.createContext(ctx)
	}
	x, err := k.client.Context(ctx, k.own)
	if errors.Is(err, agentbay.NotFound) && k.names[""] {
		k.forget()
		return k.createContext(ctx)
	}
	if err != nil {
		return err
	}
	if !k.names[x.Name] {
		return fmt.Errorf("context %s is called %s, want one of %q", x.ID, x.Name, slices.Sorted(maps.Keys(k.names)))
	}
	k.names = one(x.Name)
	return k.available(ctx)
}

// settleFiles reads everything in a directory of a context.
func (k *keeper) settleFiles(ctx context.Context, dir place) error {
	found := map[place]string{}
	if err := k.readAll(ctx, dir, found); err != nil {
		return err
	}
	for p, may := range k.files {
		if p.context != dir.context {
			continue
		}
		if !may[found[p]] {
			return fmt.Errorf("%s of %s is %q, want one of %q", p.path, p.context, found[p], slices.Sorted(maps.Keys(may)))
		}
		k.is(p, found[p])
		delete(found, p)
	}
	if len(found) > 0 {
		return fmt.Errorf("there are files that nobody wrote: %v", found)
	}
	return nil
}

// readAll reads the files of a directory of a context, and notes their versions.
func (k *keeper) readAll(ctx context.Context, dir place, found map[place]string) error {
	page, err := k.client.ContextFiles(ctx, dir.context, dir.path, 0, 1000)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", dir.path, dir.context, err)
	}
	for _, f := range page.Files {
		p := place{dir.context, f.Path}
		if f.Dir {
			if err := k.readAll(ctx, p, found); err != nil {
				return err
			}
			continue
		}
		var content bytes.Buffer
		if err := k.client.GetContextFile(ctx, p.context, p.path, &content); err != nil {
			return fmt.Errorf("%s of %s: %w", p.path, p.context, err)
		}
		if strings.HasSuffix(f.Path, part) {
			continue
		}
		if found[p], err = versionOf(content.Bytes()); err != nil {
			return fmt.Errorf("%s of %s: %w", p.path, p.context, err)
		}
	}
	return nil
}

// deleteAll deletes all sessions and contexts.
func (all keepers) deleteAll(t *testing.T) {
	ctx, client := t.Context(), all[0].client
	for _, k := range all {
		k.session = ""
		list, err := k.sessions(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			if err := agentbay.Use(client, s.ID).Delete(ctx); err != nil {
				t.Errorf("delete %s: %v", s.ID, err)
			}
		}
	}
	deleteContexts(t, client)
}

// waitUntilGone waits until there is nothing in some of a data directory.
func waitUntilGone(t *testing.T, data string, dirs ...string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		left := kept(t, data, dirs)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("left in the data directory though all is deleted:\n%s", strings.Join(left, "\n"))
			return
		}
		time.Sleep(100 * time.Millisecond) // data is freed in the background
	}
}

// kept lists the files in some of a data directory.
func kept(t *testing.T, data string, dirs []string) (left []string) {
	t.Helper()
	for _, dir := range dirs {
		err := filepath.WalkDir(filepath.Join(data, dir), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) { // it is being removed
				return nil
			}
			if err == nil && !d.IsDir() {
				left = append(left, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return left
}
