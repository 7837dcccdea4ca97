package recorder

import (
	"encoding/json"
	"math"

	"github.com/multiprolab/multiprolab/internal/fleet"
)

// livesReplay has the rules of lives do again what happened.
type livesReplay struct {
	draws
	rules   *fleet.Fleet   // the rules
	effects []fleet.Effect // what they have said and the record has not
}

func newLivesReplay() *livesReplay {
	r := &livesReplay{}
	r.rules = fleet.New(fleet.Config{Rand: func() float64 { return math.Float64frombits(uint64(r.next(LifeRand))) }})
	return r
}

func (r *livesReplay) effect() (e Event, ok bool) {
	r.effects = r.rules.Effects(r.effects)
	if len(r.effects) == 0 {
		return e, false
	}
	e, r.effects = lifeEffect(&r.effects[0]), r.effects[1:]
	return e, true
}

func (r *livesReplay) do(s *said, e *Event) (lacks string) {
	f, at, on := r.rules, fleet.Slot(e.Slot), timeOf(s)
	has := func(bit uint8) bool { return e.Bits&bit != 0 }
	switch e.Kind {
	case LifePool:
		var d fleet.PoolDesc
		if json.Unmarshal(s.Setup, &d) != nil {
			return "a pool"
		}
		f.Add(d)
	case LifeGroup:
		var g group
		if json.Unmarshal(s.Setup, &g) != nil {
			return "a group"
		}
		f.Group(g.Strategy, g.Members...)
	case LifeBegin:
		f.Begin(on)
	case LifeStarted:
		f.Started(at)
	case LifeGreeted:
		f.Greeted(at)
	case LifeUp:
		f.Up(at, on)
	case LifeIdle:
		f.Idle(at)
	case LifeLeave:
		f.Leave(at)
	case LifeEnded:
		f.Ended(at, fleet.How{Failed: has(1), Forced: has(2), Raced: has(4), Blamed: has(8), Permanent: has(16)}, on)
	case LifeDoomed:
		f.Doomed(at, int(e.N))
	case LifeRenew:
		f.Renew(fleet.Pool(e.Slot))
	case LifeResize:
		f.Resize(fleet.Pool(e.Slot), int(e.N), on)
	case LifeRestart:
		f.Restart(at)
	case LifeForget:
		f.Forget(at, fleet.Ask(e.N))
	case LifeExit:
		f.Exit(fleet.Mode(e.Bits))
	case LifeEnd:
		f.End()
	case LifeTick:
		f.Tick(on)
	case LifeTell:
		f.Tell(on)
	}
	return ""
}
