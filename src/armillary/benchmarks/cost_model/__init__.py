"""The cost model beside other people's."""
