package multiprolab

import (
	"math"
	"time"

	"github.com/multiprolab/multiprolab/internal/meta"
)

// NoTimeout is a TaskOptions.Timeout that is no limit, also for a type of tasks whose defaults have
// one.
const NoTimeout time.Duration = math.MaxInt64

// taskDefaults is what Main.TaskDefaults has set, by the types of tasks. It exists in main, and
// does not change once the program runs.
type taskDefaults map[string]*typeDefaults

// typeDefaults is the defaults of one type of tasks. It does not change.
type typeDefaults struct {
	options meta.Task // the options, as they travel
	site    *site     // where they were set
}

// checkDefaults returns an error for the first option that makes no sense as a default. o may be
// nil.
func (o *TaskOptions) checkDefaults() error {
	const each = "it cannot be a default: give it with each task"
	switch {
	case o == nil:
		return nil
	case o.Delay != 0:
		return &ConfigError{"TaskOptions.Delay", o.Delay, each}
	case o.Key != "":
		return &ConfigError{"TaskOptions.Key", o.Key, each}
	case o.OnProgress != nil:
		return &ConfigError{"TaskOptions.OnProgress", "a function", each}
	}
	return o.check()
}

// fill sets those options of a task that its submitter has left zero to the defaults of its type.
// After that a zero is what TaskOptions says.
func (d taskDefaults) fill(m *meta.Task, typ string) {
	if t := d[typ]; t != nil {
		m.Fill(&t.options)
	}
	if m.Timeout == NoTimeout {
		m.Timeout = 0
	}
}
