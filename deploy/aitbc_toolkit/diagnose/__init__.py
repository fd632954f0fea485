"""What ails a mesh or a part of it, in sentences that an operator can act on?"""
