// Not with the race detector, with which the source is the same.

//go:build !race

package house_test

import (
	"go/types"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// mainSide and workerSide are the files of the root that are of the main process alone, and of a
// worker's process alone. All others are of both.
var (
	mainSide = strings.Fields(`record.go watchdog.go admission.go broker.go brokeropen.go client.go deadletters.go desk.go
		effects.go emit.go ending.go fleet.go group.go handshake.go heir.go
		job.go lives.go loopwaits.go main.go peer.go register.go
		reload.go resize.go roster.go mainrouter.go routeruplink.go seat.go fleetevents.go
		spawn.go staff.go standing.go stderr.go
		start.go taskdefaults.go verdict.go verdicts.go vouch.go watch.go
		listeners.go publish.go peerwire.go
		handover.go profile.go successor.go upgrade.go history.go kill.go running.go snapshot.go`)
	workerSide = strings.Fields(`batchwork.go taskinbox.go uplink.go worker.go workerhanded.go workerlife.go workerprocess.go
		workersetup.go workerinspect.go workerwire.go workerplace.go workershared.go`)
)

// sideDoors are the private names of one side that the other uses all the same: how a process
// becomes a worker, and workers that are goroutines of main. A change may take names out of here;
// it never puts any in.
var sideDoors = strings.Fields("takeRole cfg depth outer path")

// TestSides holds that main's part of the library names nothing private of a worker's part, and the
// reverse: what both need lies in a file of both, or in a room below.
func TestSides(t *testing.T) {
	h := loadHouse(t, module)
	side := map[string]string{}
	for _, f := range mainSide {
		side[f] = "main"
	}
	for _, f := range workerSide {
		require.Empty(t, side[f], f)
		side[f] = "worker"
	}
	used := map[string]string{} // names, and one place of each
	for id, o := range h.info.Uses {
		if o.Pkg() != h.pkg || !o.Pos().IsValid() || exportedName(o) {
			continue
		}
		from, to := side[h.file(id.Pos())], side[h.file(o.Pos())]
		if from != "" && to != "" && from != to {
			used[o.Name()] = h.file(id.Pos()) + " uses " + o.Name() + " of " + h.file(o.Pos())
		}
	}
	for name, where := range used {
		if !slices.Contains(sideDoors, name) {
			t.Errorf("%s", where)
		}
	}
	for _, name := range sideDoors {
		require.Contains(t, used, name, "nobody uses it any more: take it out of the list")
	}
}

func exportedName(o types.Object) bool {
	r, _ := utf8.DecodeRuneInString(o.Name())
	return unicode.IsUpper(r)
}
