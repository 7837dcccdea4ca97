package mail

import (
	"maps"
	"slices"
	"testing"
)

// TestWaits plays processes that wait for each other. A wait is refused exactly if, in a model in
// which everything that does not wait ends, and with it every wait that it suffices for, the
// process would never go on; a circle that comes of less choice is found.
func TestWaits(t *testing.T) {
	simulate(t, 0.15, func(t *table) game {
		return &crowd{table: t, n: 1 + t.dice(7), model: map[int]map[uint64]*choice{}}
	})
}

// choice is the processes of which one suffices. It may become fewer.
type choice struct{ of []int }

func (c *choice) want() Want[int] {
	return func(yield func(int) bool) { slices.Values(c.of)(yield) }
}

// crowd is the game. Its model is the choice of each wait.
type crowd struct {
	*table
	n     int
	id    uint64
	waits Waits[int]
	model map[int]map[uint64]*choice
}

func (c *crowd) step() {
	by := c.dice(c.n)
	switch c.dice(12) {
	case 0:
		c.say("%d waits for nothing", by)
		c.waits.EndAll(by)
		delete(c.model, by)
	case 1, 2, 3, 4:
		if ids := slices.Sorted(maps.Keys(c.model[by])); len(ids) > 0 {
			c.end(by, ids[c.dice(len(ids))])
		}
	case 5:
		c.shrink(by)
	default:
		c.begin(by)
	}
}

func (c *crowd) begin(by int) {
	w := &choice{}
	for range 1 + c.dice(3) {
		w.of = append(w.of, c.dice(c.n))
	}
	if c.id++; c.oneIn(20) && len(c.model[by]) > 0 { // it is noted again
		c.id = slices.Max(slices.Collect(maps.Keys(c.model[by])))
	}
	if c.model[by] == nil {
		c.model[by] = map[uint64]*choice{}
	}
	c.model[by][c.id] = w
	ok := c.waits.Begin(by, c.id, w.want())
	c.say("%d waits for %v: %v", by, w.of, ok)
	must(ok == c.goesOn(by), "a wait may begin if it ends in the end")
	if ok {
		return
	}
	path := c.waits.Path(by, w.want())
	end := path[len(path)-1]
	must(path[0] == by && slices.Contains(path[:len(path)-1], end), "a circle is told")
	must(slices.Contains(w.of, path[1]), "a circle begins with what the wait is for")
	c.drop(by, c.id)
}

// drop takes a wait out of the model.
func (c *crowd) drop(by int, id uint64) {
	if delete(c.model[by], id); len(c.model[by]) == 0 {
		delete(c.model, by)
	}
}

func (c *crowd) end(by int, id uint64) {
	c.say("%d waits no longer for %v", by, c.model[by][id].of)
	c.waits.End(by, id)
	c.drop(by, id)
}

// shrink takes a process away from what a wait could end by, and breaks the circles that come of
// it.
func (c *crowd) shrink(by int) {
	ids := slices.Sorted(maps.Keys(c.model[by]))
	if len(ids) == 0 {
		return
	}
	w := c.model[by][ids[c.dice(len(ids))]]
	if len(w.of) < 2 {
		return
	}
	pick(c.dice, &w.of)
	c.say("%d waits for %v only", by, w.of)
	for {
		stuck := c.waits.Stuck()
		for p := range c.n {
			must(stuck[p] == !c.goesOn(p), "who goes on no more is found")
		}
		lost := maps.Collect(c.waits.Lost)
		must(len(lost) == len(stuck), "each process that goes on no more is in a wait that does not end")
		for p, id := range lost {
			must(!c.waits.Find(p, id).Ends(stuck), "what is lost does not end")
		}
		if len(stuck) == 0 {
			return
		}
		p := slices.Min(slices.Collect(maps.Keys(stuck)))
		for _, id := range slices.Sorted(maps.Keys(c.model[p])) {
			if !c.waits.Find(p, id).Ends(stuck) {
				c.end(p, id)
				break
			}
		}
	}
}

// goesOn plays what happens, step by step: whoever waits for nothing goes on, and ends the waits
// that it suffices for.
func (c *crowd) goesOn(p int) bool {
	left := map[int]map[uint64]*choice{}
	for q, waits := range c.model {
		left[q] = maps.Clone(waits)
	}
	for again := true; again; {
		again = false
		for q := range c.n {
			if len(left[q]) > 0 {
				continue
			}
			for _, waits := range left {
				for id, w := range waits {
					if slices.Contains(w.of, q) {
						delete(waits, id)
						again = true
					}
				}
			}
		}
	}
	return len(left[p]) == 0
}

func (c *crowd) check() {
	must(len(c.waits.waiters) == len(c.model) && len(c.waits.named) == len(c.model), "who waits is known")
	for p := range c.n {
		must(c.waits.IsWaiting(p) == (len(c.model[p]) > 0), "who waits is known")
		must(c.waits.Count(p) == len(c.model[p]), "the waits are known")
		for id := range c.model[p] {
			must(c.waits.Find(p, id) != nil, "the waits are known by their numbers")
		}
	}
	if len(c.model) > 0 && c.oneIn(8) { // it is slow
		for p := range c.n {
			must(c.goesOn(p), "nobody waits for good")
		}
	}
}

func (c *crowd) finish() {
	for p := range c.n {
		for _, id := range slices.Sorted(maps.Keys(c.model[p])) {
			c.end(p, id)
		}
	}
	must(len(c.waits.waiters) == 0 && len(c.waits.named) == 0, "nothing is held in the end")
}
