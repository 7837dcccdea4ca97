package multiprolab

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/upgrade"
)

// The new version of a program gets the tasks in their order, although a worker still has the oldest
// of them when the queue ends, and does not begin with it.
func TestTasksAreHandedOverInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newTheatre(t, nil, map[string]WorkerConfig{"p": {Prefetch: 3}})
		w := th.enter("p/0", "t")
		w.quick(th.must("t"))
		keyed := func(key string) *asked {
			a, err := th.submit(nil, "t", 0, &TaskOptions{Key: key})
			require.NoError(t, err)
			return a
		}
		runs := keyed("runs")
		w.hear()
		w.start(runs.taskID())
		first := keyed("a")
		var last *asked
		for key := 'b'; key <= 'z'; key++ {
			last = keyed(string(key))
		}
		require.True(t, w.has(first))
		require.False(t, w.has(last))
		th.handOverTasks()
		th.broker.stop(ErrUpgrade, false)
		w.end(runs.taskID(), nil)
		w.die(nil)
		th.broker.end(ErrUpgrade)
		var order string
		for _, task := range th.upgrade.HandedOver() {
			o, err := meta.Unmarshal(task.Options)
			require.NoError(t, err)
			order += o.Key
		}
		require.Equal(t, "abcdefghijklmnopqrstuvwxyz", order)
	})
}

// What a task was submitted with is what it has in the new version, and not the defaults of its
// type, which its submitter did not want.
func TestTaskIsHandedOverWithItsOptions(t *testing.T) {
	play := func(begin func(th *theatre)) []upgrade.Task {
		th := newTheatre(t, nil, map[string]WorkerConfig{"p": {}})
		w := th.enter("p/0", "t")
		th.broker.defaults = taskDefaults{"t": {options: meta.Task{Timeout: time.Second, Grace: time.Second, Attempts: 3,
			Retry: meta.Retry{Max: time.Hour}, Queue: "slow", Priority: 2}}}
		th.broker.pause("", true)
		begin(th)
		th.handOverTasks()
		th.broker.stop(ErrUpgrade, false)
		w.die(nil)
		th.broker.end(ErrUpgrade)
		return th.upgrade.HandedOver()
	}
	synctest.Test(t, func(t *testing.T) {
		handed := play(func(th *theatre) {
			_, err := th.submit(nil, "t", 0, &TaskOptions{Timeout: NoTimeout, Attempts: 1, Queue: DefaultQueue,
				Priority: PriorityNormal})
			require.NoError(t, err)
		})
		require.Len(t, handed, 1)
		require.Equal(t, handed, play(func(th *theatre) { th.resumeQueue(&upgrade.Handed{Tasks: handed}) }))
	})
}
