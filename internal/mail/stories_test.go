package mail

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestStories plays the conversations in testdata. Each reads like one; what is said in it is an
// answer of the rules. With -rewrite the answers are written anew.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &story{}
		datadriven.RunTest(t, path, s.tell)
	})
}

// story is a conversation of main with one worker, and who waits for whom beside it.
type story struct {
	window   int64
	box      Outbox[string, string, string]
	places   map[string]*Place[string]
	inbox    Inbox[string]
	receipts Receipts
	sizes    map[string]int64
	serials  map[string]uint64
	numbers  map[string]uint64 // of calls
	due      map[string]int64
	came     uint64
	wire     []string // to the worker
	account  *Account
	credit   *Credit
	waits    Waits[string]
	again    int // how often a message is handed on that has ended a life; 0 if what is lost stays lost
	begun    uint64
	out      strings.Builder
}

func (s *story) say(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *story) tell(t *testing.T, d *datadriven.TestData) string {
	s.out.Reset()
	name, bytes, serial := "", 0, 0
	d.MaybeScanArgs(t, "bytes", &bytes)
	d.MaybeScanArgs(t, "serial", &serial)
	again := 0
	d.MaybeScanArgs(t, "again", &again)
	if len(d.CmdArgs) > 0 {
		name = d.CmdArgs[0].Key
	}
	switch d.Cmd {
	case "window":
		*s = story{window: int64(bytes), sizes: map[string]int64{}, places: map[string]*Place[string]{}}
		s.again = again
		s.box.Window.Resize(s.window)
		s.account = NewAccount(s.window)
		s.begin()
	case "life":
		s.begin()
	case "send", "call":
		s.send(name, int64(bytes), d.Cmd == "call")
	case "back":
		s.say("main takes %s back: %v", name, s.box.Withdraw(s.places[name]))
	case "end":
		s.box.Finish(&Place[string]{Message: "the end"})
	case "read":
		s.read()
	case "handle":
		s.handle()
	case "done":
		s.leave(name, s.due[name])
	case "stall":
		for _, l := range s.inbox.Stall(1) {
			s.say("the worker gives back the %d bytes of %s", l.Due, l.Message)
			s.receipts.Credit(l.Due, s.window)
		}
	case "goon":
		s.inbox.Stall(-1)
	case "confirm":
		if bytes, upTo, ok := s.receipts.Take(); ok {
			s.say("the worker confirms all up to %d, and %d bytes", upTo, bytes)
			s.say("main believes it: %v", s.box.Granted(bytes, upTo))
		} else {
			s.say("the worker has nothing to confirm")
		}
	case "claim":
		s.say("main believes it: %v", s.box.Granted(uint64(bytes), uint64(serial)))
	case "die":
		if s.again > 0 {
			s.box.Ledger.Begun(s.begun)
		}
		all, calls := s.box.Detach()
		s.wire = nil
		s.say("lost: %s", text(s.lose(all)))
		s.say("calls without a reply: %s", text(calls))
	case "charge":
		says := [...]string{"main takes it", "main does not listen to this life", "main ends the worker: it lies"}
		s.say("%s", says[s.account.Charge(s.credit, int64(bytes))])
	case "wait", "waits":
		s.wait(name, d.CmdArgs[1].Vals)
	case "over":
		s.waits.EndAll(name)
	default:
		d.Fatalf(t, "nobody knows what %q is", d.Cmd)
	}
	s.pump()
	return s.out.String()
}

// lose hands on what was lost, if that is the rule, and returns the rest.
func (s *story) lose(all []Lost[string]) (lost []string) {
	for _, l := range slices.Backward(all) {
		if s.again == 0 {
			lost = append(lost, l.Letter)
			continue
		}
		p := s.places[l.Letter]
		if p == nil {
			p = &Place[string]{Message: l.Letter, Cost: s.sizes[l.Letter]}
			s.places[l.Letter] = p
		}
		if !s.box.Again(p, l.Suspect, s.again) {
			lost = append(lost, l.Letter)
		} else if l.Begun {
			s.say("%s waits again, with a mark", l.Letter)
		} else {
			s.say("%s waits again", l.Letter)
		}
	}
	slices.Reverse(lost)
	return lost
}

// text is a list for a reader.
func text(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}

func (s *story) begin() {
	s.inbox, s.receipts, s.came, s.begun = Inbox[string]{}, Receipts{}, 0, 0
	s.inbox.Resize(s.window)
	s.serials, s.numbers, s.due = map[string]uint64{}, map[string]uint64{}, map[string]int64{}
	s.credit = &Credit{}
	s.say("a life begins, and may send main %d bytes", s.account.Open(s.credit))
	s.box.Open(s.window)
}

func (s *story) send(name string, bytes int64, call bool) {
	s.sizes[name] = bytes
	if call {
		s.numbers[name] = 0
	}
	if s.box.Offer(bytes) {
		s.write(name)
		return
	}
	p := &Place[string]{Message: name, Cost: bytes}
	s.places[name] = p
	s.box.Wait(p)
	s.say("%s waits", name)
}

func (s *story) write(name string) {
	if _, call := s.numbers[name]; call {
		s.numbers[name] = s.box.Ledger.Ask(name)
		s.say("main writes the call %s; room is left for %d bytes", name, s.box.Window.free)
	} else {
		if s.sizes[name] > 0 {
			s.box.Ledger.Write(name)
		}
		s.say("main writes %s; room is left for %d bytes", name, s.box.Window.free)
	}
	s.wire = append(s.wire, name)
}

// pump writes what has waited and may be written.
func (s *story) pump() {
	for p := s.box.Next(); p != nil; p = s.box.Next() {
		s.write(p.Message)
	}
}

// read lets the worker read all that is on the wire.
func (s *story) read() {
	for _, name := range s.wire {
		if s.sizes[name] == 0 {
			s.say("the worker reads %s", name)
			continue
		}
		if _, call := s.numbers[name]; !call {
			s.came++
			s.serials[name] = s.came
		}
		switch s.inbox.Put(name, s.sizes[name]) {
		case Taken:
			s.say("the worker takes %s", name)
		case Credited:
			s.say("the worker takes %s, and gives its bytes back", name)
			s.receipts.Credit(s.sizes[name], s.window)
		case Backlog:
			s.say("the worker refuses %s", name)
			s.box.Ledger.Strike(s.serials[name])
			s.leave(name, s.sizes[name])
		}
	}
	s.wire = nil
}

func (s *story) handle() {
	name, due, ok := s.inbox.Next()
	if !ok {
		s.say("the worker has nothing to handle")
		return
	}
	s.due[name] = due
	s.begun = max(s.begun, s.serials[name])
	s.say("the worker begins with %s", name)
}

func (s *story) leave(name string, due int64) {
	if serial := s.serials[name]; serial > 0 && !s.receipts.Done(serial) {
		s.say("%s has left before an earlier message", name)
	} else if number := s.numbers[name]; number > 0 {
		s.box.Ledger.Answered(number)
	}
	if s.receipts.Credit(due, s.window) {
		s.say("a quarter of the window is free again")
	}
}

func (s *story) wait(by string, of []string) {
	want := Want[string](slices.Values(of))
	if s.waits.Begin(by, s.waitNumber(by), want) {
		s.say("%s waits for %s", by, strings.Join(of, " or "))
		return
	}
	s.say("%s must not: %s", by, strings.Join(s.waits.Path(by, want), " waits for "))
}

func (s *story) waitNumber(by string) uint64 { return uint64(s.waits.Count(by)) }
