package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab"
)

// step is one idea. do does it, and returns what was seen; an error says that it did not go as the
// text says.
type step struct {
	idea string
	text string
	do   func(ctx context.Context, t *tour) (said string, err error)
}

var steps = []step{
	{"A worker is a process", `
This program is six processes by now: this one, which is main, four cooks and a bell. All run the
same binary. The page shows them as a table, with the memory and the processor time of each.`, processes},
	{"Every process can send to every other", `
Main calls the bell, the bell calls a cook. The messages go through main, but main does not look
into them.`, calls},
	{"A queue feeds them all", `
Forty meals go into one queue. The cooks take them as they have time. The timeline at the foot of
the page shows who cooks what.`, meals},
	{"A crash costs one task", `
A task does what recover does not catch. Its cook dies of it, the task has an error that says why,
and another process takes the place of the cook. Nobody else notices.`, crash},
	{"Work that does not end is ended", `
A task spins: "for {}". A goroutine of that kind cannot be stopped. This one has half a second, then
its process is killed.`, spin},
	{"Memory has a limit of its own", `
A task takes all the memory that it can get. Its cook has a limit of its own; the program goes on.`, hoard},
	{"Nothing is lost", `
Forty meals again, and meanwhile each of the cooks is killed, as kill -9 does. Each meal is cooked
in the end, the ones that were in the pan at the second attempt.`, kills},
	{"A pool can grow while it works", `
Sixteen cooks instead of four, and back again. Nothing that they are at is broken off.`, resize},
	{"What fails for good is kept", `
Toast burns at each attempt. After three it goes to the list of dead tasks, with each error. The
page has a button to try it again.`, dead},
	{"All can be replaced at work", `
Each cook is replaced by a new process, one after the other, while meals come. That is how a program
takes new code or a new configuration.`, replace},
}

func processes(_ context.Context, t *tour) (string, error) {
	live := t.live()
	if len(live) != 5 {
		return "", fmt.Errorf("%d workers live, not 5: %v", len(live), live)
	}
	return fmt.Sprintf("main has pid %d, its workers have %v", os.Getpid(), live), nil
}

// live returns the pids of the workers.
func (t *tour) live() (pids []int) {
	for _, w := range t.Stats().Workers {
		if w.Process.PID != 0 {
			pids = append(pids, w.Process.PID)
		}
	}
	return pids
}

func calls(ctx context.Context, t *tour) (string, error) {
	return multiprolab.Call[string](ctx, t, "bell", "ring", "cook/2")
}

// cookAll has n meals cooked, does something meanwhile, and returns how many were cooked by whom.
func cookAll(ctx context.Context, t *tour, n int, meanwhile func(done int) error) (map[string]int, error) {
	list := func(yield func(Meal) bool) {
		for i := range n {
			if !yield(Meal{Name: fmt.Sprintf("meal %d", i+1), Takes: time.Duration(50+i*7%100) * time.Millisecond}) {
				return
			}
		}
	}
	by, done := map[string]int{}, 0
	for meal, err := range multiprolab.Map[string](ctx, t, "meal", list, &multiprolab.MapConfig{
		Unordered: true,
		Task:      multiprolab.TaskOptions{Attempts: 10}, // a death costs a meal an attempt
	}) {
		if err != nil {
			return nil, err
		}
		_, cook, _ := strings.Cut(meal, ", cooked by ")
		by[cook]++
		if done++; meanwhile != nil {
			if err := meanwhile(done); err != nil {
				return nil, err
			}
		}
	}
	if done != n {
		return nil, fmt.Errorf("%d of %d meals were cooked", done, n)
	}
	return by, nil
}

func meals(ctx context.Context, t *tour) (string, error) {
	by, err := cookAll(ctx, t, 40, nil)
	return fmt.Sprintf("meals by cook: %v", by), err
}

func crash(ctx context.Context, t *tour) (string, error) {
	_, err := multiprolab.Do[int](ctx, t, "crash", 0)
	died, ok := errors.AsType[*multiprolab.WorkerDiedError](err)
	if !ok {
		return "", fmt.Errorf("the task was to end with the death of its worker, and ended with %w", err)
	}
	return firstLine(died), nil
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func spin(ctx context.Context, t *tour) (string, error) {
	_, err := multiprolab.DoWith[int](ctx, t, "spin", 0, &multiprolab.TaskOptions{
		Timeout: 500 * time.Millisecond,
		Grace:   100 * time.Millisecond,
	})
	late, ok := errors.AsType[*multiprolab.TimeoutError](err)
	if !ok || !late.Killed {
		return "", fmt.Errorf("the task was to end with the kill of its worker, and ended with %w", err)
	}
	return firstLine(late), nil
}

func hoard(ctx context.Context, t *tour) (string, error) {
	_, err := multiprolab.Do[int](ctx, t, "hoard", 0)
	if err == nil {
		return "", errors.New("the task was to end with the death of its worker, and has ended well")
	}
	return firstLine(err), nil
}

func kills(ctx context.Context, t *tour) (string, error) {
	killed := 0
	by, err := cookAll(ctx, t, 40, func(done int) error {
		if done%8 != 0 || killed == 4 {
			return nil
		}
		err := t.Kill(fmt.Sprintf("cook/%d", killed))
		killed++
		return err
	})
	return fmt.Sprintf("%d cooks were killed, 40 meals were cooked: %v", killed, by), err
}

func resize(ctx context.Context, t *tour) (string, error) {
	if err := t.Resize("cook", 16); err != nil {
		return "", err
	}
	by, err := cookAll(ctx, t, 200, nil)
	if err != nil {
		return "", err
	}
	if len(by) < 5 {
		return "", fmt.Errorf("only %d of 16 cooks have cooked", len(by))
	}
	return fmt.Sprintf("%d cooks had a part in 200 meals", len(by)), t.Resize("cook", 4)
}

func dead(ctx context.Context, t *tour) (string, error) {
	_, err := multiprolab.DoWith[int](ctx, t, "toast", 0, &multiprolab.TaskOptions{
		Attempts: 3,
		Retry:    multiprolab.RetryPolicy{On: multiprolab.RetryErrors},
	})
	if _, ok := errors.AsType[*multiprolab.AttemptsError](err); !ok {
		return "", fmt.Errorf("the task was to use up its attempts, and ended with %w", err)
	}
	all := t.Tasks().Dead()
	i := slices.IndexFunc(all, func(d *multiprolab.DeadTask) bool { return d.Type == "toast" })
	if i < 0 {
		return "", fmt.Errorf("the toast is not among the %d dead tasks", len(all))
	}
	return strings.Join(strings.Fields(all[i].Err.Error()), " "), nil
}

func replace(ctx context.Context, t *tour) (string, error) {
	before := t.live()
	replaced := make(chan error, 1)
	go func() { replaced <- t.Restart(ctx, "cook") }() // ends when all are replaced
	by, err := cookAll(ctx, t, 40, nil)
	if err = errors.Join(err, <-replaced); err != nil {
		return "", err
	}
	same := 0
	for _, pid := range t.live() {
		if slices.Contains(before, pid) {
			same++
		}
	}
	if same != 1 { // the bell
		return "", fmt.Errorf("%d processes were not replaced", same-1)
	}
	return fmt.Sprintf("four new cooks, and no meal was lost: %v", by), nil
}
