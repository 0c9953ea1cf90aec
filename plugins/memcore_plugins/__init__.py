"""The plugins that come with memcore, found through entry points like anybody else's."""
