package multiprolab

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
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
		for _, task := range th.upgrade.handedOver() {
			meta, err := unmarshalTaskMeta(task.Options)
			require.NoError(t, err)
			order += meta.Key
		}
		require.Equal(t, "abcdefghijklmnopqrstuvwxyz", order)
	})
}
