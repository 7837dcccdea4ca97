package fleet

import "slices"

// group is the pools whose workers share a fate.
type group struct {
	// strategy says which of them restart together. It never changes.
	strategy Strategy
	// members are the pools in the order of their start. It never changes.
	members []*pool
	// leaving counts the shaken slots of the members that have a life: no shaken one begins its
	// next life before these have ended. Only pool.weigh changes it.
	leaving int
}

// before returns the member that must be up before a pool starts, or nil. g may be nil.
func (g *group) before(p *pool) *pool {
	if g == nil || g.strategy == OneForOne {
		return nil
	}
	if i := slices.Index(g.members, p); i > 0 {
		return g.members[i-1]
	}
	return nil
}

// others returns the slots that restart, or end, with one that has failed, in the order of their
// start.
func (s *slot) others() (others []*slot) {
	g := s.pool.group
	if g == nil || g.strategy == OneForOne {
		return nil
	}
	members := g.members
	if g.strategy == RestForOne {
		members = members[slices.Index(members, s.pool)+1:]
	}
	for _, p := range members {
		for _, o := range p.slots {
			if o != s && o.state != Buried {
				others = append(others, o)
			}
		}
		for _, o := range p.crew.spares {
			if o != s {
				others = append(others, o)
			}
		}
	}
	return others
}
