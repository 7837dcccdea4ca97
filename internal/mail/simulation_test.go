package mail

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The rules are tried with simulations: games of random events, after each of which what the rules
// say is compared with a slow and obvious model. A million events are played by go test, and as
// many as one likes by
//
//	go test ./internal/mail -events 100000000 -timeout 2h
//
// A game that fails says its seed, and is played again, with what happened in it, by
//
//	go test ./internal/mail -run TestConversation -game SEED
//
// Some games are played by rapid, which looks for the shortest that fails, and says how to play
// that again.
var (
	events = flag.Int("events", 1_000_000, "how many events the simulations play together")
	replay = flag.Uint64("game", 0, "the seed of the one game to play, with what happens in it")
)

// dice chooses a number below n.
type dice func(n int) int

// oneIn is true once in n times.
func (d dice) oneIn(n int) bool { return d(n) == 0 }

// table is where a game is played.
type table struct {
	dice
	talks bool     // what happens is written down
	story []string // what has happened
}

// say writes down what happens.
func (t *table) say(format string, args ...any) {
	if t.talks {
		t.story = append(t.story, fmt.Sprintf(format, args...))
	}
}

// broken is what a game panics with if the rules are broken.
type broken string

// must ends the game unless ok. What it says has no argument, for it is called very often.
func must(ok bool, rule string) {
	if !ok {
		panic(broken(rule))
	}
}

// game is one kind of simulation.
type game interface {
	step()   // lets one event happen
	check()  // compares everything with the model
	finish() // lets everything come to its end
}

// play plays one game, and returns how many events it had and which rule was broken, or "".
func play(t *table, begin func(*table) game) (n int, rule string) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case broken:
			rule = string(r)
		case error: // of the runtime: it is a fault of the rules, or of the game
			rule = fmt.Sprintf("%v\n%s", r, debug.Stack())
		default:
			panic(r) // it is rapid's
		}
	}()
	g := begin(t)
	for steps := 20 + t.dice(400); n < steps; {
		n++
		g.step()
		g.check()
	}
	g.finish()
	g.check()
	return n, ""
}

// simulate plays a share of all events, as games of one kind.
func simulate(t *testing.T, share float64, begin func(*table) game) {
	seeded := func(seed uint64, talks bool) *table {
		random := rand.New(rand.NewPCG(seed, 0))
		return &table{dice: random.IntN, talks: talks}
	}
	if *replay != 0 {
		at := seeded(*replay, true)
		n, rule := play(at, begin)
		t.Logf("%d events\n%s\n%s", n, strings.Join(at.story, "\n"), rule)
		if rule != "" {
			t.Fail()
		}
		return
	}
	all := int(float64(*events) * share)
	for seed, played := uint64(1), 0; played < all; seed++ {
		n, rule := play(seeded(seed, false), begin)
		if played += n; rule != "" {
			at := seeded(seed, true)
			play(at, begin)
			last := at.story[max(0, len(at.story)-25):]
			t.Fatalf("event %d: %s\nit ended:\n%s\nall of it: go test ./internal/mail -run %s -game %d -v",
				played, rule, strings.Join(last, "\n"), t.Name(), seed)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		at := &table{talks: true, dice: func(n int) int { return rapid.IntRange(0, n-1).Draw(r, "") }}
		if _, rule := play(at, begin); rule != "" {
			r.Fatalf("%s\n%s", rule, strings.Join(at.story, "\n"))
		}
	})
}

// sum adds up what cost says of the elements of a list.
func sum[T any](list []T, cost func(T) int64) (n int64) {
	for _, v := range list {
		n += cost(v)
	}
	return n
}

// pick takes any element out of a list.
func pick[T any](d dice, list *[]T) T {
	i := d(len(*list))
	v := (*list)[i]
	*list = slices.Delete(*list, i, i+1)
	return v
}

// pop takes the first element out of a list.
func pop[T any](list *[]T) T {
	v := (*list)[0]
	*list = (*list)[1:]
	return v
}
