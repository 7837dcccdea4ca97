package multiprolab

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab/internal/pack"
)

// This file is what travels with a task beside its body, in the Meta of its frame: its options, and
// who waits for it.

const (
	// maxChain is the greatest length of a chain in bytes, and maxChainNames the greatest number of
	// names in it. A chain is the names of the processes that wait, separated by commas.
	maxChain, maxChainNames = 16 << 10, 256
)

// checkChain returns an error for a chain that is too long, or that has a character in it which no
// name of a process has.
func checkChain(chain string) error {
	if len(chain) > maxChain || strings.Count(chain, ",") >= maxChainNames {
		return fmt.Errorf(
			"the processes that wait for each other are more than %d, or their names longer than %d bytes",
			maxChainNames,
			maxChain,
		)
	}
	for i := range len(chain) {
		c := chain[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && !('0' <= c && c <= '9') && c != '-' && c != '_' && c != '/' && c != ',' {
			return fmt.Errorf("there is %q in the names of the processes that wait for each other", c)
		}
	}
	return nil
}

// taskMeta is what travels with a task beside its body. It is a value that each process copies.
type taskMeta struct {
	Timeout  time.Duration // TaskOptions.Timeout
	Grace    time.Duration // TaskOptions.Grace
	Attempts int           // TaskOptions.Attempts: how often the task may be started
	Retry    RetryPolicy   // TaskOptions.Retry
	Queue    string        // TaskOptions.Queue
	Priority Priority      // TaskOptions.Priority
	Delay    time.Duration // TaskOptions.Delay
	Key      string        // TaskOptions.Key
	Sticky   bool          // TaskOptions.Sticky
	Attempt  int           // the number of the present attempt, from 1; 0 means 1
	Chain    string        // the names of the processes whose loops wait for the task, or may
	Header   string        // in main and in a Backend: the packed headers; on the wire they have a place of their own
	Waits    bool          // the loops in Chain do wait: nothing else happens there until the outcome is there
}

// check returns an error for the first option that makes no sense. Main checks the options again
// that come from a worker.
func (m taskMeta) check() error {
	err := cmp.Or(notNegative("TaskOptions.Timeout", m.Timeout), notNegative("TaskOptions.Grace", m.Grace),
		notNegative("TaskOptions.Attempts", m.Attempts), notNegative("TaskOptions.Delay", m.Delay), m.Retry.check())
	switch {
	case err != nil:
		return err
	case m.Priority < PriorityLow || m.Priority > PriorityHigh: // 0 lies between them
		return &ConfigError{"TaskOptions.Priority", m.Priority, "use PriorityLow, PriorityNormal or PriorityHigh"}
	case len(m.Key) > maxNameLen:
		return &ConfigError{
			"TaskOptions.Key",
			m.Key[:20] + "...",
			fmt.Sprintf("it has %d bytes: use at most %d", len(m.Key), maxNameLen),
		}
	case m.Sticky && m.Key == "":
		return &ConfigError{"TaskOptions.Sticky", m.Sticky, "the task has no Key that could say which worker gets it"}
	case m.Queue != "" && checkQueueName(m.Queue) != nil:
		return &ConfigError{"TaskOptions.Queue", m.Queue, checkQueueName(m.Queue).Error()}
	case m.Attempt < 0:
		return &ConfigError{"the attempt", m.Attempt, "it cannot be negative"}
	case checkChain(m.Chain) != nil:
		return checkChain(m.Chain)
	}
	return nil
}

// metaVersion is the first byte of packed options. Options with another first byte come from
// another build of the program, by way of a Backend.
const metaVersion = 2

// marshal lays out the options. If all of them are the defaults, it returns "".
func (m taskMeta) marshal() string {
	if m == (taskMeta{}) {
		return ""
	}
	return string(append([]byte{metaVersion}, pack.Marshal(&m)...))
}

// Pack describes the layout of the options.
func (m *taskMeta) Pack(p *pack.Packing) {
	on, priority, factor := int(m.Retry.On), int(m.Priority), int64(math.Float64bits(m.Retry.Factor))
	pack.Number(p, &m.Timeout)
	pack.Number(p, &m.Grace)
	pack.Number(p, &m.Attempts)
	pack.Number(p, &on)
	pack.Number(p, &m.Retry.First)
	pack.Number(p, &factor)
	pack.Number(p, &m.Retry.Max)
	pack.Text(p, &m.Queue)
	pack.Number(p, &priority)
	pack.Number(p, &m.Delay)
	pack.Text(p, &m.Key)
	pack.Flag(p, &m.Sticky)
	pack.Number(p, &m.Attempt)
	pack.Text(p, &m.Chain)
	pack.Flag(p, &m.Waits)
	pack.Text(p, &m.Header)
	if on < 0 || on > math.MaxUint8 || priority < math.MinInt8 || priority > math.MaxInt8 {
		p.Fail()
	}
	m.Retry.On, m.Priority, m.Retry.Factor = RetryOn(on), Priority(priority), math.Float64frombits(uint64(factor))
}

// unmarshalTaskMeta reads what marshal wrote. It trusts nothing in it.
func unmarshalTaskMeta(s string) (m taskMeta, err error) {
	switch {
	case s == "":
	case s[0] != metaVersion:
		err = fmt.Errorf("they have version %d, this program knows version %d", s[0], metaVersion)
	default:
		err = pack.Unmarshal([]byte(s[1:]), &m)
	}
	return m, err
}

// Priority orders tasks that wait for the same workers. The zero value is that of the type, see
// Main.TaskDefaults, or else PriorityNormal.
type Priority int8

// The priorities.
const (
	PriorityLow    Priority = -1
	PriorityNormal Priority = 1
	PriorityHigh   Priority = 2
)
