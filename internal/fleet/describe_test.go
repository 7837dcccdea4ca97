package fleet_test

import (
	"fmt"
	"strings"

	"github.com/multiprolab/multiprolab/internal/fleet"
)

// This file writes effects so that one can read them aloud.

var (
	modeNames = []string{"FinishRunning", "DrainQueue", "KillAll"}
	kindNames = []string{
		"", "place", "spawn", "promote", "lend", "retire", "lead out", "down", "bury", "replaced", "all up", "release main",
		"end the program", "all gone", "wake",
	}
)

// names says how a slot and a pool are called.
type names struct {
	slot func(fleet.Slot) string
	pool func(fleet.Pool) string
}

var numbers = names{
	slot: func(s fleet.Slot) string { return fmt.Sprintf("slot %d", s) },
	pool: func(p fleet.Pool) string { return fmt.Sprintf("pool %d", p) },
}

func describe(e *fleet.Effect) string { return numbers.effect(e) }

func describeAll(all []fleet.Effect) string {
	var texts []string
	for i := range all {
		texts = append(texts, "    "+describe(&all[i]))
	}
	return strings.Join(texts, "\n")
}

func (n names) effect(e *fleet.Effect) string {
	text := kindNames[e.Kind]
	switch e.Kind {
	case fleet.AllUp, fleet.Release, fleet.AllGone:
		return text
	case fleet.Wake:
		if e.At == fleet.Never {
			return "wake: never"
		}
		return fmt.Sprintf("wake at %v", e.At)
	case fleet.EndProgram:
		return text + ": " + n.reason(&e.Reason)
	case fleet.Promote:
		return fmt.Sprintf("promote %s to %s, life %d", n.slot(e.From), n.slot(e.Slot), e.Life)
	case fleet.Lend:
		return fmt.Sprintf("lend %s to %s, life %d", n.slot(e.From), n.slot(e.Slot), e.Life)
	case fleet.Place:
		if e.Spare {
			return fmt.Sprintf("place %s: spare %d of %s", n.slot(e.Slot), e.Index, n.pool(e.Pool))
		}
		return fmt.Sprintf("place %s: number %d of %s", n.slot(e.Slot), e.Index, n.pool(e.Pool))
	}
	text += " " + n.slot(e.Slot)
	switch e.Kind {
	case fleet.Spawn:
		text += fmt.Sprintf(", life %d", e.Life)
	case fleet.LeadOut:
		text += ", " + modeNames[e.Mode]
		if e.ForGood {
			text += ", for good"
		}
		text += ": " + n.reason(&e.Reason)
	case fleet.Down:
		text += fmt.Sprintf(", life %d: it has %s", e.Life, map[bool]string{false: "stopped", true: "failed"}[e.Failed])
		if e.Restart && e.After > 0 {
			text += fmt.Sprintf(", the next follows after %v", e.After)
		} else if e.Restart {
			text += ", the next follows"
		}
	case fleet.Bury:
		text += ": " + n.reason(&e.Reason)
	case fleet.Replaced:
		text += fmt.Sprintf(", request %d", e.Ask)
		if e.Reason.Kind != fleet.None {
			text += ": not, for " + n.reason(&e.Reason)
		}
	}
	return text
}

func (n names) reason(r *fleet.Reason) string {
	behind := func() string {
		if r.Behind == nil {
			return "nothing"
		}
		return n.reason(r.Behind)
	}
	switch r.Kind {
	case fleet.Failed:
		return fmt.Sprint("it failed of ", r.Cause)
	case fleet.Quit:
		return "it ended by itself"
	case fleet.NeedGone:
		return fmt.Sprintf("it needs %s, which is gone (%s)", n.pool(r.Pool), behind())
	case fleet.Limit:
		var causes []string
		for i := range r.Causes {
			causes = append(causes, n.reason(&r.Causes[i]))
		}
		text := fmt.Sprintf("its limit after %d restarts", r.Restarts)
		if r.Permanent {
			text = fmt.Sprintf("no start would help after %d restarts", r.Restarts)
		}
		return fmt.Sprintf("%s (%s)", text, strings.Join(causes, "; "))
	case fleet.Fellow:
		return fmt.Sprintf("%s of its group failed (%s)", n.slot(r.Fellow), behind())
	case fleet.Left:
		return "it has left"
	case fleet.Replace:
		return "it is replaced"
	case fleet.Ended:
		return "the program ends"
	}
	return "no reason"
}
