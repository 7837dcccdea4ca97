package multiprolab

import (
	"strconv"

	"github.com/multiprolab/multiprolab/internal/queue"
)

// Keyed returns the name of a receiver for Send and Call: of that instance of a pool which a key
// belongs to. It is always the same one, so that what it has in memory for the key is used again;
// main finds it when it passes the message on. When Resize adds or takes away one of n instances,
// about 1/n of the keys move; so do those of an instance that has ended for good. While an instance
// is replaced its messages wait. Tasks with TaskOptions.Sticky and the same key go to the same
// instance, if no other pool takes them.
func Keyed(pool, key string) string {
	return pool + "#" + strconv.Itoa(int(queue.BucketOf(key)))
}

// home returns the instance of the pool that the keys of a bucket belong to: of those that go on,
// or else of those that are there.
func (p *pool) home(b queue.Bucket) *slot {
	seed := queue.Seed(p.name)
	var home *slot
	var goes bool
	var most uint64
	for _, s := range p.list() {
		stays, n := s.alive() && !s.leaving.Load(), b.Draw(seed, s.index)
		if home == nil || stays && !goes || stays == goes && n > most {
			home, goes, most = s, stays, n
		}
	}
	return home
}
