package multiprolabtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multiprolab/multiprolab/backend"
)

// patience bounds what TestBackend waits for, so that a broken Backend fails instead of hanging.
const patience = 30 * time.Second

// TestBackend checks that a Backend keeps the contract of backend.Backend. open returns an
// empty Backend; TestBackend closes it. Each check is a subtest with a Backend of its own.
func TestBackend(t *testing.T, open func(t *testing.T) backend.Backend) {
	t.Helper()
	for _, check := range []struct {
		name string
		run  func(*backendTest)
	}{
		{"FirstInFirstOut", (*backendTest).firstInFirstOut},
		{"Receipts", (*backendTest).receipts},
		{"Credit", (*backendTest).credit},
		{"FetchWaits", (*backendTest).fetchWaits},
		{"FetchEndsWithContext", (*backendTest).fetchEndsWithContext},
		{"QueuesAreApart", (*backendTest).queuesAreApart},
		{"AckEndsLease", (*backendTest).ackEndsLease},
		{"RetryComesFirst", (*backendTest).retryComesFirst},
		{"ReturnedIsAsNew", (*backendTest).returnedIsAsNew},
		{"RetryAfter", (*backendTest).retryAfter},
		{"Dead", (*backendTest).dead},
		{"Delayed", (*backendTest).delayed},
		{"Extend", (*backendTest).extend},
		{"Checkpoint", (*backendTest).checkpoint},
		{"TaskSurvives", (*backendTest).taskSurvives},
		{"OneTakerEach", (*backendTest).oneTakerEach},
		{"Close", (*backendTest).closed},
	} {
		t.Run(check.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			b := &backendTest{T: t, Backend: open(t), ctx: ctx}
			defer func() {
				if err := b.Backend.Close(context.Background()); err != nil {
					t.Errorf("Close: %v", err)
				}
			}()
			check.run(b)
		})
	}
}

type backendTest struct {
	*testing.T
	backend.Backend
	ctx context.Context
}

func (b *backendTest) enqueue(tasks ...backend.Task) []backend.Receipt {
	b.Helper()
	receipts, err := b.Enqueue(b.ctx, tasks...)
	if err != nil || len(receipts) != len(tasks) {
		b.Fatalf("Enqueue of %d tasks: %d receipts, error %v", len(tasks), len(receipts), err)
	}
	return receipts
}

// fetch takes n tasks, with as many calls of Fetch as it needs.
func (b *backendTest) fetch(queue string, n int) (leases []backend.Lease) {
	b.Helper()
	for len(leases) < n {
		more, err := b.Fetch(b.ctx, queue, n-len(leases))
		if err != nil || len(more) == 0 || len(more) > n-len(leases) {
			b.Fatalf("Fetch of %d from %s: %d leases, error %v", n-len(leases), queue, len(more), err)
		}
		leases = append(leases, more...)
	}
	return leases
}

func (b *backendTest) depth(queue string) backend.Depth {
	b.Helper()
	d, err := b.Depth(b.ctx, queue)
	if err != nil {
		b.Fatalf("Depth: %v", err)
	}
	return d
}

func (b *backendTest) wantDepth(queue string, want backend.Depth) {
	b.Helper()
	if d := b.depth(queue); d != want {
		b.Fatalf("Depth of %s is %+v, want %+v", queue, d, want)
	}
}

func (b *backendTest) must(what string, err error) {
	b.Helper()
	if err != nil {
		b.Fatalf("%s: %v", what, err)
	}
}

func task(queue string, i int) backend.Task {
	return backend.Task{
		ID:    fmt.Sprintf("%s-%d", queue, i),
		Queue: queue,
		Type:  "t",
		Body:  []byte{byte(i), byte(i >> 8)},
	}
}

func tasks(queue string, n int) (all []backend.Task) {
	for i := range n {
		all = append(all, task(queue, i))
	}
	return all
}

func ids(leases []backend.Lease) (all []string) {
	for _, l := range leases {
		all = append(all, l.Task().ID)
	}
	return all
}

func (b *backendTest) firstInFirstOut() {
	want := tasks("q", 100)
	b.enqueue(want[:1]...)
	b.enqueue(want[1:]...)
	for i, l := range b.fetch("q", 100) {
		if l.Task().ID != want[i].ID {
			b.Fatalf("task %d is %s, want %s", i, l.Task().ID, want[i].ID)
		}
	}
}

func (b *backendTest) receipts() {
	for i, r := range b.enqueue(tasks("q", 3)...) {
		if r.ID != task("q", i).ID || r.Duplicate {
			b.Fatalf("receipt %d is %+v", i, r)
		}
	}
}

func (b *backendTest) credit() {
	b.enqueue(tasks("q", 10)...)
	leases, err := b.Fetch(b.ctx, "q", 3)
	if err != nil || len(leases) < 1 || len(leases) > 3 {
		b.Fatalf("Fetch with a credit of 3: %d leases, error %v", len(leases), err)
	}
	b.wantDepth("q", backend.Depth{Ready: 10 - len(leases), Leased: len(leases)})
}

func (b *backendTest) fetchWaits() {
	got := make(chan []backend.Lease, 1)
	go func() { // ends with the Fetch
		leases, _ := b.Fetch(b.ctx, "q", 1)
		got <- leases
	}()
	b.enqueue(task("q", 1))
	if leases := <-got; len(leases) != 1 || leases[0].Task().ID != "q-1" {
		b.Fatalf("a Fetch that waited got %v", ids(leases))
	}
}

func (b *backendTest) fetchEndsWithContext() {
	cause := errors.New("the reason")
	ctx, cancel := context.WithCancelCause(b.ctx)
	ended := make(chan error, 1)
	go func() { // ends with the Fetch
		_, err := b.Fetch(ctx, "q", 1)
		ended <- err
	}()
	cancel(cause)
	if err := <-ended; !errors.Is(err, cause) {
		b.Fatalf("Fetch returned %v after the end of its context, want its cause", err)
	}
	b.enqueue(task("q", 1))
	b.wantDepth("q", backend.Depth{Ready: 1})
}

func (b *backendTest) queuesAreApart() {
	b.enqueue(task("q", 1), task("r/s", 1), task("q", 2))
	if got := ids(b.fetch("r/s", 1)); got[0] != "r/s-1" {
		b.Fatalf("queue r/s gave %v", got)
	}
	b.wantDepth("q", backend.Depth{Ready: 2})
	b.wantDepth("r/s", backend.Depth{Leased: 1})
	b.wantDepth("none", backend.Depth{})
}

func (b *backendTest) ackEndsLease() {
	b.enqueue(task("q", 1))
	l := b.fetch("q", 1)[0]
	b.must("Ack", l.Ack(b.ctx))
	b.wantDepth("q", backend.Depth{})
	for what, err := range map[string]error{
		"Ack": l.Ack(b.ctx), "Retry": l.Retry(b.ctx, 0, "again"), "Dead": l.Dead(b.ctx, "dead"),
		"Extend": l.Extend(b.ctx),
	} {
		if !errors.Is(err, backend.ErrLeaseLost) {
			b.Errorf("%s after Ack returned %v, want ErrLeaseLost", what, err)
		}
	}
	b.wantDepth("q", backend.Depth{})
}

func (b *backendTest) retryComesFirst() {
	b.enqueue(tasks("q", 3)...)
	l := b.fetch("q", 1)[0]
	if l.Attempt() != 1 {
		b.Fatalf("the first lease says that it is attempt %d", l.Attempt())
	}
	b.must("Retry", l.Retry(b.ctx, 0, "it failed"))
	leases := b.fetch("q", 3)
	if got := ids(leases); !slices.Equal(got, []string{"q-0", "q-1", "q-2"}) {
		b.Fatalf("after a Retry without a pause the tasks came as %v", got)
	}
	if leases[0].Attempt() != 2 || leases[1].Attempt() != 1 {
		b.Fatalf("attempts are %d and %d, want 2 and 1", leases[0].Attempt(), leases[1].Attempt())
	}
	// The first lease has ended: the task is another taker's.
	if err := l.Ack(b.ctx); !errors.Is(err, backend.ErrLeaseLost) {
		b.Fatalf("Ack after Retry returned %v while the task is leased again, want ErrLeaseLost", err)
	}
	b.wantDepth("q", backend.Depth{Leased: 3})
}

// returnedIsAsNew holds for leases that are Returners.
func (b *backendTest) returnedIsAsNew() {
	b.enqueue(tasks("q", 2)...)
	for want := 1; want <= 2; want++ {
		r, ok := b.fetch("q", 1)[0].(backend.Returner)
		if !ok {
			return
		}
		if got := r.Attempt(); got != want || r.Task().ID != "q-0" {
			b.Fatalf("%s came as attempt %d, want q-0 and %d", r.Task().ID, got, want)
		}
		b.must("Return", r.Return(b.ctx))
		if err := r.Return(b.ctx); !errors.Is(err, backend.ErrLeaseLost) {
			b.Fatalf("Return after Return returned %v, want ErrLeaseLost", err)
		}
		b.wantDepth("q", backend.Depth{Ready: 2})
		l := b.fetch("q", 1)[0]
		if got := l.Attempt(); got != want || l.Task().ID != "q-0" {
			b.Fatalf("after a Return %s came as attempt %d, want q-0 and %d", l.Task().ID, got, want)
		}
		b.must("Retry", l.Retry(b.ctx, 0, "it failed"))
	}
}

func (b *backendTest) retryAfter() {
	b.enqueue(tasks("q", 2)...)
	begin := time.Now()
	const pause = 50 * time.Millisecond
	b.must("Retry", b.fetch("q", 1)[0].Retry(b.ctx, pause, "it failed"))
	if got := ids(b.fetch("q", 2)); !slices.Equal(got, []string{"q-1", "q-0"}) {
		b.Fatalf("after a Retry with a pause the tasks came as %v", got)
	}
	if took := time.Since(begin); took < pause {
		b.Fatalf("a task came back after %v, before its pause of %v", took, pause)
	}
}

func (b *backendTest) dead() {
	b.enqueue(tasks("q", 2)...)
	b.must("Dead", b.fetch("q", 1)[0].Dead(b.ctx, "it is of no use"))
	b.wantDepth("q", backend.Depth{Ready: 1, Dead: 1})
	if got := ids(b.fetch("q", 1)); got[0] != "q-1" {
		b.Fatalf("a dead task came back: %v", got)
	}
}

func (b *backendTest) delayed() {
	const pause = 50 * time.Millisecond
	begin := time.Now()
	late, later := task("q", 1), task("q", 2)
	late.NotBefore, later.NotBefore = begin.Add(pause), begin.Add(2*pause)
	b.enqueue(later, late, task("q", 3))
	if got := ids(b.fetch("q", 1)); got[0] != "q-3" {
		b.Fatalf("a task came before its time: %v", got)
	}
	if got := ids(b.fetch("q", 2)); !slices.Equal(got, []string{"q-1", "q-2"}) {
		b.Fatalf("delayed tasks came as %v", got)
	}
	if took := time.Since(begin); took < 2*pause {
		b.Fatalf("a task came after %v, before its time of %v", took, 2*pause)
	}
}

func (b *backendTest) extend() {
	b.enqueue(task("q", 1))
	l := b.fetch("q", 1)[0]
	before := l.Deadline()
	b.must("Extend", l.Extend(b.ctx))
	if after := l.Deadline(); !before.IsZero() && after.Before(before) {
		b.Fatalf("Extend moved the deadline from %v to %v", before, after)
	}
	b.must("Ack", l.Ack(b.ctx))
}

// checkpoint holds for leases that are Checkpointers.
func (b *backendTest) checkpoint() {
	b.enqueue(tasks("q", 1)...)
	lease := b.fetch("q", 1)[0]
	c, ok := lease.(backend.Checkpointer)
	if !ok {
		return
	}
	if got := lease.Task().Checkpoint; len(got) > 0 {
		b.Fatalf("a new task has the checkpoint %q", got)
	}
	data := []byte("one")
	b.must("Checkpoint", c.Checkpoint(b.ctx, data))
	data[0] = 'X' // it is the caller's
	for i := range 3 {
		b.must("Retry", lease.Retry(b.ctx, 0, "again"))
		if err := c.Checkpoint(b.ctx, []byte("late")); !errors.Is(err, backend.ErrLeaseLost) {
			b.Fatalf("Checkpoint after the end of the lease: %v", err)
		}
		lease = b.fetch("q", 1)[0]
		want := "one"
		if i > 0 {
			want = strings.Repeat("x", 64<<10-i)
		}
		if got := string(lease.Task().Checkpoint); got != want {
			b.Fatalf("the checkpoint has %d bytes, want %d", len(got), len(want))
		}
		c = lease.(backend.Checkpointer)
		b.must("Checkpoint", c.Checkpoint(b.ctx, []byte("not the last")))
		b.must("Checkpoint", c.Checkpoint(b.ctx, []byte(strings.Repeat("x", 64<<10-i-1))))
	}
	b.must("Ack", lease.Ack(b.ctx))
}

func (b *backendTest) taskSurvives() {
	want := backend.Task{
		ID:       "id",
		Queue:    "q",
		Type:     "type",
		Body:     []byte{0, 1, 255},
		Options:  "\x02\x00\xff{", // any bytes, as the library packs them
		Attempts: 2,
	}
	b.enqueue(want)
	got := b.fetch("q", 1)[0].Task()
	if got.ID != want.ID || got.Queue != want.Queue || got.Type != want.Type || string(got.Body) != string(want.Body) ||
		got.Options != want.Options || got.Attempts != want.Attempts {
		b.Fatalf("the task came back as %+v, want %+v", got, want)
	}
}

func (b *backendTest) oneTakerEach() {
	const n, takers = 2000, 4
	var mu sync.Mutex
	seen := map[string]int{}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	for range takers {
		wg.Go(func() {
			for {
				leases, err := b.Fetch(ctx, "q", 7)
				if err != nil {
					return
				}
				for i, l := range leases {
					if i%5 == 4 && l.Attempt() == 1 {
						if err := l.Retry(b.ctx, 0, "once more"); err != nil {
							b.Errorf("Retry: %v", err)
						}
						continue
					}
					if err := l.Ack(b.ctx); err != nil {
						b.Errorf("Ack: %v", err)
					}
					mu.Lock()
					if seen[l.Task().ID]++; len(seen) == n {
						cancel()
					}
					mu.Unlock()
				}
			}
		})
	}
	for i := range n {
		b.enqueue(task("q", i))
	}
	wg.Wait()
	for id, times := range seen {
		if times != 1 {
			b.Errorf("task %s was acknowledged %d times", id, times)
		}
	}
	if len(seen) != n {
		b.Errorf("%d of %d tasks were seen", len(seen), n)
	}
	b.wantDepth("q", backend.Depth{})
}

func (b *backendTest) closed() {
	ended := make(chan error, 1)
	go func() { // ends with the Fetch
		_, err := b.Fetch(b.ctx, "q", 1)
		ended <- err
	}()
	b.must("Close", b.Backend.Close(b.ctx))
	if err := <-ended; err == nil {
		b.Error("a Fetch that waited returned no error after Close")
	}
	if _, err := b.Enqueue(b.ctx, task("q", 1)); err == nil {
		b.Error("Enqueue returned no error after Close")
	}
}
