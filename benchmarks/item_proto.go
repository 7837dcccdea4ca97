//go:build !solo || solo_plugin || solo_nats

package main

import "github.com/multiprolab/multiprolab/benchmarks/itempb"

func (i *Item) proto() *itempb.Item {
	return &itempb.Item{Id: i.ID, Name: i.Name, Tags: i.Tags, Value: i.Value, Active: i.Active, When: i.When}
}

func itemOf(p *itempb.Item) Item {
	return Item{
		ID:     p.GetId(),
		Name:   p.GetName(),
		Tags:   p.GetTags(),
		Value:  p.GetValue(),
		Active: p.GetActive(),
		When:   p.GetWhen(),
	}
}
